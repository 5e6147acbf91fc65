// Command netrpcbench is Go's own client of the server in netrpc, for the bench: so many callers on one connection, each with
// one call after the other. It prints as JSON how many calls were answered per second, and the processor time of this process in
// nanoseconds per call.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"sync"
	"syscall"
	"time"
)

type Args struct{ A, B int }

func dial(codec, address string) (*rpc.Client, error) {
	if codec == "gob" {
		return rpc.Dial("tcp", address)
	}
	return jsonrpc.Dial("tcp", address)
}

// spent is the processor time of this process.
func spent() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func main() {
	codec := flag.String("codec", "json", "gob or json")
	address := flag.String("address", "", "of the server")
	callers := flag.Int("callers", 1, "calls at once")
	calls := flag.Int("calls", 10000, "calls in all")
	flag.Parse()

	client, err := dial(*codec, *address)
	if err != nil {
		log.Fatal(err)
	}
	run := func(n int) {
		var group sync.WaitGroup
		for i := 0; i < *callers; i++ {
			i := i
			group.Add(1)
			go func() {
				defer group.Done()
				for j := i; j < n; j += *callers {
					var reply int
					if err := client.Call("Arith.Multiply", &Args{j, 2}, &reply); err != nil || reply != 2*j {
						log.Fatal(reply, err)
					}
				}
			}()
		}
		group.Wait()
	}
	run(*calls / 10)
	start, before := time.Now(), spent()
	run(*calls)
	took, used := time.Since(start), spent()-before
	_ = json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"calls a second":         float64(*calls) / took.Seconds(),
		"nanoseconds of the CPU": float64(used.Nanoseconds()) / float64(*calls),
	})
}
