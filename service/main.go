//go:build linux

// Command spegel-guard watches the spegel container of a node and caps its processor time while it runs away.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/controller/runtime"
	"github.com/cosi-project/runtime/pkg/controller/runtime/options"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/api"
	"github.com/spegel-guard/spegel-guard/service/controllers"
)

func main() {
	if err := run(); err != nil {
		// Talos shows the last line of a service that failed: it must be the diagnosis.
		fmt.Fprintln(os.Stderr, "spegel-guard:", err)
		os.Exit(1)
	}
}

type flags struct {
	config, proc, cgroup, cri, socket string
	version                           bool
}

func parseFlags() flags {
	var f flags

	flag.StringVar(&f.config, "config", config.Path, "configuration document; without the file the defaults apply")
	flag.StringVar(&f.proc, "proc", "/proc", "the node's procfs")
	flag.StringVar(&f.cgroup, "cgroup", "/sys/fs/cgroup", "root of the node's unified cgroup hierarchy")
	flag.StringVar(&f.cri, "cri", "/run/containerd/containerd.sock", "the container runtime's CRI socket")
	flag.StringVar(&f.socket, "socket", "/run/spegel-guard/guard.sock", "the API's unix socket")
	flag.BoolVar(&f.version, "version", false, "print the version and exit")
	flag.Parse()

	return f
}

func run() error {
	f := parseFlags()

	if f.version {
		fmt.Println(api.Version)

		return nil
	}

	cfg, source, err := controllers.LoadConfig(f.config)
	if err != nil {
		return err
	}

	logger, err := newLogger()
	if err != nil {
		return err
	}

	defer logger.Sync() //nolint:errcheck // nothing left to do

	logger.Info("starting", zap.String("version", api.Version), zap.String("mode", string(cfg.Mode)), zap.String("config", source))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	st := state.WrapCore(namespaced.NewState(inmem.Build))

	if err := resources.Register(ctx, st); err != nil {
		return err
	}

	apiOptions, err := apiOptions(cfg.API, f.socket, logger)
	if err != nil {
		return err
	}

	engine, err := newEngine(f, cfg, st, logger)
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)

	group.Go(func() error { return engine.Run(ctx) })

	// Side by side, so that one that cannot be served does not take the other with it.
	for _, opts := range apiOptions {
		group.Go(func() error { return serveAPI(ctx, st, opts, logger) })
	}

	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}

	logger.Info("stopped", zap.String("mode", string(cfg.Mode)))

	return nil
}

// apiRetry is how long a server that failed waits.
const apiRetry = 10 * time.Second

// serveAPI serves until the context ends. Guarding does not depend on being seen: a server that fails,
// for instance because its port is taken, is tried again.
func serveAPI(ctx context.Context, st state.CoreState, opts api.Options, logger *zap.Logger) error {
	for {
		if err := api.Serve(ctx, st, opts, logger); err != nil && ctx.Err() == nil {
			logger.Error("API failed, it is tried again", zap.Duration("after", apiRetry), zap.Error(err))
		}

		select {
		case <-ctx.Done():
			return nil
		case <-time.After(apiRetry):
		}
	}
}

func newLogger() (*zap.Logger, error) {
	logConfig := zap.NewProductionConfig()
	logConfig.EncoderConfig.EncodeTime = zapTime
	logConfig.DisableStacktrace = true
	logConfig.DisableCaller = true
	// Every decision counts; there are few.
	logConfig.Sampling = nil

	logger, err := logConfig.Build()
	if err != nil {
		return nil, fmt.Errorf("error making the logger: %w", err)
	}

	return logger, nil
}

func apiOptions(cfg config.API, socket string, logger *zap.Logger) ([]api.Options, error) {
	opts := []api.Options{{Socket: socket}}

	if cfg.TLS.Source != config.TLSFiles {
		logger.Info("API on TCP is off: api.tls.source is none")

		return opts, nil
	}

	tlsConfig, err := api.TLSFromFiles(cfg.TLS)
	if err != nil {
		return nil, err
	}

	return append(opts, api.Options{Listen: cfg.Listen, TLS: tlsConfig}), nil
}

// seedOf draws where the credits start: another place on each node, and in each of its boots.
func seedOf(bootID string) uint64 {
	hash := fnv.New64a()
	hash.Write([]byte(bootID))

	return hash.Sum64()
}

// newEngine registers the controllers, after it has taken over what an earlier process left.
func newEngine(f flags, cfg config.Config, st state.State, logger *zap.Logger) (controller.Engine, error) {
	engine, err := runtime.NewRuntime(st, logger, options.WithMetrics(false))
	if err != nil {
		return nil, fmt.Errorf("error making the controller runtime: %w", err)
	}

	bootID, err := os.ReadFile(f.proc + "/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("error reading the boot id: %w", err)
	}

	paths := controllers.Paths{Proc: f.proc, Cgroup: f.cgroup}
	ceilings := &controllers.CeilingController{Paths: paths, BootID: string(bootID)}

	adopted, err := ceilings.Adopt(cfg, logger)
	if err != nil {
		// What could not be taken over is left as it is; guarding goes on.
		logger.Error("error taking over an earlier process's ceilings", zap.String("mode", string(cfg.Mode)), zap.Error(err))
	}

	for _, c := range []controller.Controller{
		&controllers.ConfigController{Path: f.config},
		&controllers.TargetController{Paths: paths, Sources: []discover.Source{discover.NewCRI(f.cri), discover.NewProcfs(f.proc)}},
		&controllers.SampleController{Paths: paths},
		&controllers.PolicyController{Adopted: adopted, Seed: seedOf(string(bootID))},
		ceilings,
	} {
		if err := engine.RegisterController(c); err != nil {
			return nil, fmt.Errorf("error registering %s: %w", c.Name(), err)
		}
	}

	return engine, nil
}
