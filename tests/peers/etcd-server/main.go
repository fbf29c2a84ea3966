// An etcd that knows how to report its progress on demand, which Debian's is too old for: what a
// kube-apiserver needs to begin a watch with all objects.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
