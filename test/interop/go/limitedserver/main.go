// Command limitedserver is a server of google.golang.org/grpc that can do only so much: it works at a few requests side
// by side, each for the same time, in the order of their arrival. For a while it holds back all that arrives, as a
// network does in an outage, and then takes it all at once.
//
// The end of each request is computed when it arrives, and slept for: how much the server can do does not depend on how
// late the machine wakes it. What a client has given up is done all the same.
//
// It prints one line of JSON when it listens: {"address": "..."}.
// It ends when its standard input does, so it cannot outlive the test that started it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type limited struct {
	mutex sync.Mutex
	// when each of the places is free
	free    []time.Time
	service time.Duration
	// when the first request arrived, and what is held back, counted from there
	start         time.Time
	holdAt, endAt time.Duration
	held          []chan time.Time
}

// place returns when a request that begins to wait now will be done.
func (l *limited) place(now time.Time) time.Time {
	next := 0
	for i, at := range l.free {
		if at.Before(l.free[next]) {
			next = i
		}
	}
	begin := l.free[next]
	if begin.Before(now) {
		begin = now
	}
	l.free[next] = begin.Add(l.service)
	return l.free[next]
}

// release takes what was held back, in the order of its arrival.
func (l *limited) release() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	now := l.start.Add(l.endAt)
	for _, held := range l.held {
		held <- l.place(now)
	}
	l.held = nil
}

// arrive returns a channel with the instant at which the request will be done.
func (l *limited) arrive() chan time.Time {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	now := time.Now()
	if l.start.IsZero() {
		l.start = now
		time.AfterFunc(l.endAt, l.release)
	}
	done := make(chan time.Time, 1)
	since := now.Sub(l.start)
	if l.holdAt <= since && since < l.endAt {
		l.held = append(l.held, done)
	} else {
		done <- l.place(now)
	}
	return done
}

func (l *limited) read(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	request := new(wrapperspb.StringValue)
	if err := decode(request); err != nil {
		return nil, err
	}
	// to connect with: it is not counted
	if request.GetValue() != "connect" {
		time.Sleep(time.Until(<-l.arrive()))
	}
	return request, nil
}

func main() {
	concurrency := flag.Int("concurrency", 1, "how many requests it works at side by side")
	service := flag.Duration("service", 0, "how long it works at one")
	holdAt := flag.Duration("hold-at", 0, "when it begins to hold requests back, after the first one")
	holdFor := flag.Duration("hold-for", 0, "for how long it does")
	flag.Parse()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	work := &limited{
		free:    make([]time.Time, *concurrency),
		service: *service,
		holdAt:  *holdAt,
		endAt:   *holdAt + *holdFor,
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "interop.v1.Echo",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Read", Handler: work.read}},
	}, work)

	ready, _ := json.Marshal(map[string]string{"address": listener.Addr().String()})
	fmt.Println(string(ready))

	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(server.Serve(listener))
}
