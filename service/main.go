//go:build linux

// Command spegel-guard watches the spegel container of a node and caps its processor time while it runs away.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/cosi-project/runtime/pkg/controller"
	"github.com/cosi-project/runtime/pkg/controller/runtime"
	"github.com/cosi-project/runtime/pkg/controller/runtime/options"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/spegel-guard/spegel-guard/pkg/cgroup"
	"github.com/spegel-guard/spegel-guard/pkg/config"
	"github.com/spegel-guard/spegel-guard/pkg/discover"
	"github.com/spegel-guard/spegel-guard/pkg/resources"
	"github.com/spegel-guard/spegel-guard/service/api"
	"github.com/spegel-guard/spegel-guard/service/controllers"
	"github.com/spegel-guard/spegel-guard/service/enforce"
	"github.com/spegel-guard/spegel-guard/service/evidence"
	"github.com/spegel-guard/spegel-guard/service/footprint"
	"github.com/spegel-guard/spegel-guard/service/memory"
	"github.com/spegel-guard/spegel-guard/service/metrics"
	"github.com/spegel-guard/spegel-guard/service/samples"
)

func main() {
	if err := run(); err != nil {
		// Talos shows the last line of a service that failed: it must be the diagnosis.
		fmt.Fprintln(os.Stderr, "spegel-guard:", err)
		os.Exit(1)
	}
}

type flags struct {
	config, proc, cgroup, cri, machined string
	content, socket, memory, evidence   string
	version                             bool
	command                             string
}

// overrides is where people's orders are remembered: beside the decisions.
func (f flags) overrides() string {
	if f.memory == "" {
		return ""
	}

	return filepath.Join(filepath.Dir(f.memory), "overrides.json")
}

// captures is where evidence is kept that people ask for: beside the evidence of ceilings, which must not
// give way to it.
func (f flags) captures() string {
	if f.evidence == "" {
		return ""
	}

	return filepath.Join(filepath.Dir(f.evidence), "captures")
}

const usage = `usage: spegel-guard [flags]           guard this node
       spegel-guard [flags] restore   take back every ceiling on this node and exit
       spegel-guard config validate FILE   find every mistake in a document and exit
       spegel-guard version

`

func parseFlags() flags {
	var f flags

	flag.StringVar(&f.config, "config", config.Path, "configuration document; without the file the defaults apply")
	flag.StringVar(&f.proc, "proc", "/proc", "the node's procfs")
	flag.StringVar(&f.cgroup, "cgroup", "/sys/fs/cgroup", "root of the node's unified cgroup hierarchy")
	flag.StringVar(&f.cri, "cri", "/run/containerd/containerd.sock", "the container runtime's CRI socket")
	flag.StringVar(&f.machined, "machined", "/system/run/machined/machine.sock", "Talos' machined's socket; empty: it is not asked")
	flag.StringVar(&f.content, "content", "/var/lib/containerd/io.containerd.content.v1.content", "containerd's content store")
	flag.StringVar(&f.evidence, "evidence", "/run/spegel-guard/evidence", "where a target's state before its ceiling is kept; empty: nowhere")
	flag.StringVar(&f.socket, "socket", "/run/spegel-guard/guard.sock", "the API's unix socket")
	flag.StringVar(&f.memory, "memory", "/run/spegel-guard/memory.json", "where decisions are remembered over a restart; empty: nowhere")
	flag.BoolVar(&f.version, "version", false, "print the version and exit")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage) //nolint:errcheck // nowhere left to say it
		flag.PrintDefaults()
	}
	flag.Parse()

	f.command = strings.Join(flag.Args(), " ")

	return f
}

func run() error {
	f := parseFlags()

	switch {
	case f.version || f.command == "version":
		fmt.Println(api.Version)

		return nil
	case strings.HasPrefix(f.command, validateCommand):
		return validate(strings.TrimSpace(strings.TrimPrefix(f.command, validateCommand)), os.Stdout)
	case f.command != "" && f.command != "restore":
		return fmt.Errorf("unknown command %q, there are restore, config validate FILE and version", f.command)
	}

	// Whatever is done, one process does it.
	lock := &enforce.Lock{Root: f.cgroup}
	defer lock.Release()

	if err := lock.Acquire(); err != nil && (f.command != "" || !errors.Is(err, cgroup.ErrNotUnified)) {
		return err
	}

	if f.command == "restore" {
		return restore(f)
	}

	return guard(f, lock)
}

// guard runs the daemon until it is told to stop.
func guard(f flags, lock *enforce.Lock) error {
	logger, err := newLogger()
	if err != nil {
		return err
	}

	defer logger.Sync() //nolint:errcheck // nothing left to do

	footprint.Configure()

	bootID, err := os.ReadFile(f.proc + "/sys/kernel/random/boot_id")
	if err != nil {
		return fmt.Errorf("error reading the boot id: %w", err)
	}

	node := enforce.Node{Proc: f.proc, Cgroup: f.cgroup, BootID: string(bytes.TrimSpace(bootID))}

	loaded, err := controllers.LoadConfig(f.config)
	if err != nil {
		restoreOverdue(node, logger)

		return err
	}

	cfg := loaded.Config

	logger.Info("starting", zap.String("version", api.Version), zap.String("mode", string(cfg.Mode)), zap.String("config", loaded.Source))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	st := state.WrapCore(namespaced.NewState(inmem.Build))

	if err := resources.Register(ctx, st); err != nil {
		return err
	}

	feed := samples.New()
	exported := metrics.New(st, feed, api.Version)
	node.Failed = exported.Failed

	serving, err := newServing(f, node, cfg, st, exported, logger)
	if err != nil {
		return err
	}

	engine, ceilings, err := newEngine(f, node, lock, cfg, st, feed, serving, logger)
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)

	group.Go(func() error {
		// However it ends, and before the servers have: nothing may be left behind for their sake.
		defer ceilings.Stop()

		return engine.Run(ctx)
	})

	serving.start(ctx, group)

	group.Go(func() error {
		// It works as well with what it holds.
		if err := footprint.TrimOnceStarted(ctx); err != nil {
			logger.Info("memory that is not needed any more is kept", zap.Error(err))
		}

		return nil
	})

	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}

	logger.Info("stopped", zap.String("mode", string(cfg.Mode)))

	return nil
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

// seedOf draws where the credits start: another place on each node, and in each of its boots.
func seedOf(bootID string) uint64 {
	hash := fnv.New64a()
	hash.Write([]byte(bootID))

	return hash.Sum64()
}

// newEngine registers the controllers, after it has taken over what an earlier process left.
func newEngine(
	f flags, node enforce.Node, lock *enforce.Lock, cfg config.Config, st state.State, feed *samples.Feed, serving *serving,
	logger *zap.Logger,
) (controller.Engine, *controllers.CeilingController, error) {
	engine, err := runtime.NewRuntime(st, logger, options.WithMetrics(false))
	if err != nil {
		return nil, nil, fmt.Errorf("error making the controller runtime: %w", err)
	}

	left, err := enforce.TakeOver(node, cfg.Mode, logger)
	if err != nil {
		// What could not be taken over is left as it is; guarding goes on.
		logger.Error("error taking over an earlier process's ceilings", zap.String("mode", string(cfg.Mode)), zap.Error(err))
	}

	file := memory.File[memory.Workload]{Path: f.memory, BootID: node.BootID}

	remembered, err := file.Load()
	if err != nil {
		logger.Error("earlier decisions are forgotten", zap.String("mode", string(cfg.Mode)), zap.Error(err))
	}

	paths := controllers.Paths{Proc: f.proc, Cgroup: f.cgroup}
	ceilings := &controllers.CeilingController{
		Node: node, Lock: lock, Leftovers: left, Initial: cfg, Log: serving.log, Reaction: serving.metrics.Reaction,
	}

	if f.evidence != "" {
		ceilings.Evidence = &evidence.Store{Dir: f.evidence}
	}

	cri := discover.NewCRI(f.cri)
	sources := []discover.Source{cri, discover.NewProcfs(f.proc)}

	if f.machined != "" {
		sources = slices.Insert(sources, 0, discover.Source(discover.NewMachined(f.machined, f.proc, cri)))
	}

	for _, c := range []controller.Controller{
		&controllers.ConfigController{Path: f.config},
		&controllers.TargetController{Paths: paths, Sources: sources, Events: cri},
		&controllers.SampleController{Paths: paths, Feed: feed, Duration: serving.metrics.SampleDuration},
		&controllers.NodeController{Paths: paths, Content: f.content, Pods: cri},
		&controllers.PolicyController{
			Feed: feed, Urgent: ceilings.Wake, Memory: file, Remembered: recall(remembered, left, cfg), Seed: seedOf(node.BootID), History: serving.node.History,
		},
		ceilings,
	} {
		if err := engine.RegisterController(c); err != nil {
			return nil, nil, fmt.Errorf("error registering %s: %w", c.Name(), err)
		}
	}

	return engine, ceilings, nil
}
