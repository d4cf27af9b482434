// SPDX-License-Identifier: MPL-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/spegel-guard/spegel-guard/test/images"
)

// serveImages serves the images of Talos' services as a registry. Talos pulls for 20 minutes from a registry that cannot be reached,
// and gives up on one that has no such image. So the registry is filled at another address first.
func serveImages(ctx context.Context) error {
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))

	filling, err := serve(ctx, handler, "127.0.0.1:0")
	if err != nil {
		return err
	}

	for _, image := range images.Pulled {
		if err := push(ctx, filling, image); err != nil {
			return fmt.Errorf("failed to serve image %s: %w", image.Name, err)
		}
	}

	_, err = serve(ctx, handler, images.MirrorAddress)

	return err
}

// serve serves requests until the process ends, and returns the address.
func serve(ctx context.Context, handler http.Handler, address string) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return "", err
	}

	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}

	go server.Serve(listener) //nolint:errcheck // it ends with the process

	return listener.Addr().String(), nil
}

func push(ctx context.Context, address string, image images.Image) error {
	content, err := tarball.ImageFromPath(images.GuestPath(image.Name), nil)
	if err != nil {
		return err
	}

	tag, err := name.NewTag(address+"/"+image.Repository(), name.Insecure)
	if err != nil {
		return err
	}

	return remote.Write(tag, content, remote.WithContext(ctx))
}
