// A client that lives on, by Go's own resolver: as resolve.c, with 0 and 1 as its codes.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	resolver := &net.Resolver{PreferGo: true}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		start := time.Now()
		addresses, err := resolver.LookupHost(context.Background(), lines.Text())
		code := 0
		if err != nil {
			code = 1
		}
		fmt.Printf("%s %d %.1f", lines.Text(), code, float64(time.Since(start).Microseconds())/1000)
		for _, address := range addresses {
			fmt.Printf(" %s", address)
		}
		fmt.Println()
	}
}
