package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spegel-guard/spegel-guard/test/node"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("ERR", err)
		b, _ := os.ReadFile(node.ContainerdLog)
		fmt.Println(string(b))
		os.Exit(1)
	}
}
func run() error {
	ctx := context.Background()
	t := time.Now()
	n, err := node.Start(ctx)
	if err != nil {
		return err
	}
	fmt.Println("node up", time.Since(t))
	p, err := n.RunPod(ctx, node.SpegelPod("spegel-abcde"))
	if err != nil {
		return err
	}
	fmt.Println("pod", time.Since(t), p.IP, p.Cgroup, p.PID)
	q, err := n.RunPod(ctx, node.PodSpec{Name: "other", Namespace: "default", Container: "app"})
	if err != nil {
		return err
	}
	if err := p.WaitServing(ctx); err != nil {
		return err
	}
	if err := p.Steer(ctx, map[string]any{"mode": "sustained", "blobs": 1053, "peers": []string{q.IP + ":5001"}}); err != nil {
		return err
	}
	for range 3 {
		u, err := node.Usage(p.Cgroup, 2*time.Second)
		m, _ := node.CPUMax(p.Cgroup)
		fmt.Println(u, m, err)
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", p.PID))
		fmt.Println(string(b))
	}
	return nil
}
