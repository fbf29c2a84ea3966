// One program with the parts of a Kubernetes control plane that tests/peers needs; the name it is
// called by, or its first argument, says which.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controller "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
)

var parts = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controller.NewControllerManagerCommand,
	"kube-proxy":              proxy.NewProxyCommand,
}

func main() {
	make := parts[filepath.Base(os.Args[0])]
	if make == nil && len(os.Args) > 1 {
		make = parts[os.Args[1]]
		os.Args = os.Args[1:]
	}
	if make == nil {
		fmt.Fprintln(os.Stderr, "call as kube-apiserver, kube-controller-manager or kube-proxy")
		os.Exit(2)
	}
	os.Exit(cli.Run(make()))
}
