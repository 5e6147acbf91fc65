// Command netrpc is a net/rpc server for the interop tests: with gob or the JSON codec, over TCP, TLS, a Unix socket or HTTP.
//
// It prints one line of JSON when it listens: {"address": "...", "certificate": "PEM, with -tls"}.
// It ends when its standard input does, so it cannot outlive the test that started it.
package main

import (
	"crypto/tls"
	"encoding/gob"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	nethttp "net/http"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"effect-rpc-retry/interop/certificate"
)

type Args struct{ A, B int }

type Quotient struct{ Quo, Rem int }

// Arith is the service of the example in the documentation of net/rpc.
type Arith struct{ calls *atomic.Int64 }

func (t *Arith) Multiply(args *Args, reply *int) error {
	t.calls.Add(1)
	*reply = args.A * args.B
	return nil
}

func (t *Arith) Divide(args *Args, quo *Quotient) error {
	t.calls.Add(1)
	if args.B == 0 {
		return errors.New("divide by zero")
	}
	quo.Quo = args.A / args.B
	quo.Rem = args.A % args.B
	return nil
}

// Probe is what only tests need.
type Probe struct{ calls *atomic.Int64 }

type Everything struct {
	Bool    bool
	Int     int64
	Float   float64
	Text    string
	Bytes   []byte
	List    []int
	Map     map[string]int
	Nested  *Quotient
	Nothing *Quotient
	Empty   []string
}

// Echo gives back what it was given, after Go has read it into its types and written it again.
func (p *Probe) Echo(value *Everything, reply *Everything) error {
	p.calls.Add(1)
	*reply = *value
	return nil
}

// Anything has an interface, so that its types are told within its values.
type Anything struct {
	Before string
	Any    interface{}
	List   []interface{}
	After  string
}

// EchoAny gives back what it was given. What is in an interface, Go must know by name.
func (p *Probe) EchoAny(value *Anything, reply *Anything) error {
	p.calls.Add(1)
	*reply = *value
	return nil
}

// Find gives a quotient, or nil.
func (p *Probe) Find(quo *int, reply **Quotient) error {
	if *quo >= 0 {
		*reply = &Quotient{Quo: *quo}
	}
	return nil
}

// FindAny gives nil.
func (p *Probe) FindAny(_ *struct{}, _ **Anything) error {
	return nil
}

// Sleep answers after so many milliseconds.
func (p *Probe) Sleep(millis *int, reply *int) error {
	p.calls.Add(1)
	time.Sleep(time.Duration(*millis) * time.Millisecond)
	*reply = *millis
	return nil
}

// Calls is how many calls of the other methods this process has received.
func (p *Probe) Calls(_ *struct{}, reply *int64) error {
	*reply = p.calls.Load()
	return nil
}

// Exit ends the process in the middle of the call.
func (p *Probe) Exit(_ *struct{}, _ *int) error {
	os.Exit(1)
	return nil
}

// serveInOrder is the loop that the documentation of ServeRequest leaves to its callers.
func serveInOrder(server *rpc.Server, codec rpc.ServerCodec) {
	defer codec.Close()
	for {
		// an unknown method is an error too, and has been answered
		err := server.ServeRequest(codec)
		if err == io.EOF || err != nil && strings.HasPrefix(err.Error(), "rpc: server cannot decode request") {
			return
		}
	}
}

func main() {
	network := flag.String("network", "tcp", "tcp or unix")
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	codec := flag.String("codec", "json", "gob or json")
	http := flag.String("http", "", "serve at this path of an HTTP server, which means gob")
	secure := flag.Bool("tls", false, "speak TLS, with a new certificate")
	serial := flag.Bool("serial", false, "with JSON: answer one request of a connection after the other")
	flag.Parse()

	calls := new(atomic.Int64)
	server := rpc.NewServer()
	for _, service := range []any{&Arith{calls}, &Probe{calls}, Shop{}} {
		if err := server.Register(service); err != nil {
			log.Fatal(err)
		}
	}

	listener, err := net.Listen(*network, *address)
	if err != nil {
		log.Fatal(err)
	}
	ready := map[string]string{"address": listener.Addr().String()}
	if *secure {
		pair, text := certificate.SelfSigned()
		ready["certificate"] = text
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	line, _ := json.Marshal(ready)
	fmt.Println(string(line))

	gob.RegisterName("main.Quotient", Quotient{})
	gob.RegisterName("main.Anything", Anything{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if *http != "" {
		server.HandleHTTP(*http, *http+"/debug")
		log.Fatal(nethttp.Serve(listener, nil))
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		if *codec == "gob" {
			go server.ServeConn(connection)
		} else if *serial {
			go serveInOrder(server, jsonrpc.NewServerCodec(connection))
		} else {
			go server.ServeCodec(jsonrpc.NewServerCodec(connection))
		}
	}
}
