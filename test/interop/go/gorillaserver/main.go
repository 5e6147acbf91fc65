// Command gorillaserver is an HTTP server of github.com/gorilla/rpc, for the interop tests: the codec json at /json, json2
// at /json2, with the same services.
//
// It prints one line of JSON when it listens: {"address": "...", "certificate": "PEM, with -tls"}.
// It ends when its standard input does, so it cannot outlive the test that started it.
package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"effect-rpc-retry/interop/certificate"

	"github.com/gorilla/rpc/v2"
	codec1 "github.com/gorilla/rpc/v2/json"
	codec2 "github.com/gorilla/rpc/v2/json2"
)

type Args struct{ A, B int }

type Quotient struct{ Quo, Rem int }

type Arith struct{ calls *atomic.Int64 }

func (t *Arith) Multiply(_ *http.Request, args *Args, reply *int) error {
	t.calls.Add(1)
	*reply = args.A * args.B
	return nil
}

func (t *Arith) Divide(_ *http.Request, args *Args, quo *Quotient) error {
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
func (p *Probe) Echo(_ *http.Request, value *Everything, reply *Everything) error {
	p.calls.Add(1)
	*reply = *value
	return nil
}

type Pause struct{ Millis int }

// Sleep answers after so many milliseconds.
func (p *Probe) Sleep(_ *http.Request, pause *Pause, reply *int) error {
	p.calls.Add(1)
	time.Sleep(time.Duration(pause.Millis) * time.Millisecond)
	*reply = pause.Millis
	return nil
}

// Coded fails with an error of the codec json2 that has a code and data.
func (p *Probe) Coded(_ *http.Request, args *Args, _ *int) error {
	p.calls.Add(1)
	return &codec2.Error{Code: codec2.ErrorCode(args.A), Message: "coded", Data: map[string]int{"B": args.B}}
}

// Structured fails with an error of the codec json that is not a string.
func (p *Probe) Structured(_ *http.Request, _ *struct{}, _ *int) error {
	p.calls.Add(1)
	return &codec1.Error{Data: map[string]any{"code": 7, "message": "seven"}}
}

// Headers gives back the headers of its request.
func (p *Probe) Headers(request *http.Request, _ *struct{}, reply *http.Header) error {
	p.calls.Add(1)
	*reply = request.Header
	return nil
}

// Calls is how many calls of the other methods this process has received.
func (p *Probe) Calls(_ *http.Request, _ *struct{}, reply *int64) error {
	*reply = p.calls.Load()
	return nil
}

// Exit ends the process in the middle of the call.
func (p *Probe) Exit(_ *http.Request, _ *struct{}, _ *int) error {
	os.Exit(1)
	return nil
}

func serverOf(codec rpc.Codec, calls *atomic.Int64) *rpc.Server {
	server := rpc.NewServer()
	server.RegisterCodec(codec, "application/json")
	for _, service := range []any{&Arith{calls}, &Probe{calls}} {
		if err := server.RegisterService(service, ""); err != nil {
			log.Fatal(err)
		}
	}
	return server
}

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	secure := flag.Bool("tls", false, "speak TLS, with a new certificate")
	flag.Parse()

	calls := new(atomic.Int64)
	http.Handle("/json", serverOf(codec1.NewCodec(), calls))
	http.Handle("/json2", serverOf(codec2.NewCodec(), calls))

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	ready := map[string]string{"address": listener.Addr().String()}
	if *secure {
		own, text := certificate.SelfSigned()
		ready["certificate"] = text
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{own}})
	}
	line, _ := json.Marshal(ready)
	fmt.Println(string(line))

	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(http.Serve(listener, nil))
}
