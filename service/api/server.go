package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	guardv1alpha1 "github.com/spegel-guard/spegel-guard/proto/spegelguard/v1alpha1"
)

// Options of one server.
type Options struct {
	// Socket is the path of a unix socket: for root on the node itself, without TLS. Without one it is TCP.
	Socket string
	// Listen is the TCP address; it is served with TLS or not at all.
	Listen string
	TLS    *tls.Config
}

// Serve serves the state read-only until the context ends.
func Serve(ctx context.Context, st state.CoreState, opts Options, logger *zap.Logger) error {
	readOnly := state.Filter(st, func(_ context.Context, access state.Access) error {
		if access.Verb.Readonly() {
			return nil
		}

		return status.Error(codes.PermissionDenied, "the guard's resources are read-only")
	})

	if opts.Socket != "" {
		listener, err := listenUnix(opts.Socket)
		if err != nil {
			return err
		}

		logger.Info("API on unix socket", zap.String("path", opts.Socket))

		return serve(ctx, listener, newServer(readOnly))
	}

	if opts.TLS == nil {
		return errors.New("the API on TCP needs TLS")
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", opts.Listen)
	if err != nil {
		return fmt.Errorf("error listening on api.listen: %w", err)
	}

	logger.Info("API on TCP with mutual TLS", zap.Stringer("address", listener.Addr()))

	return serve(ctx, listener, newServer(readOnly,
		grpc.Creds(credentials.NewTLS(opts.TLS)),
		grpc.UnaryInterceptor(authorizeUnary),
		grpc.StreamInterceptor(authorizeStream),
	))
}

func newServer(st state.CoreState, opts ...grpc.ServerOption) *grpc.Server {
	// Requests are a few names; a watch stays open for as long as its client likes.
	opts = append(opts, grpc.MaxRecvMsgSize(64<<10), grpc.MaxConcurrentStreams(128))

	s := grpc.NewServer(opts...)

	v1alpha1.RegisterStateServer(s, server.NewState(st))
	machine.RegisterMachineServiceServer(s, &versionService{})
	guardv1alpha1.RegisterGuardServiceServer(s, &guardService{state: state.WrapCore(st)})
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	reflection.Register(s)

	return s
}

func serve(ctx context.Context, listener net.Listener, s *grpc.Server) error {
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()

	if err := s.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("error serving the API on %s: %w", listener.Addr(), err)
	}

	return nil
}

// listenUnix listens on a socket that only root can open. A socket an earlier process left is replaced.
func listenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("error making the folder of the API's socket: %w", err)
	}

	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("error removing an old API socket: %w", err)
	}

	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("error listening on the API's socket: %w", err)
	}

	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close() //nolint:errcheck // the other error counts

		return nil, fmt.Errorf("error restricting the API's socket: %w", err)
	}

	return listener, nil
}
