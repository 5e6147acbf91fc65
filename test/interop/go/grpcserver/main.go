// Command grpcserver is a server of google.golang.org/grpc, for the interop tests: the service of
// test/support/grpcEcho.proto, told by its method Script what to do with the next requests.
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
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Step is what becomes of one request. Of List it sends so many words of the text before it.
type Step struct {
	Tag      string `json:"_tag"`
	Code     uint32 `json:"code"`
	Details  string `json:"details"`
	Messages int    `json:"messages"`
	// Trailers are sent with the status; RetryInfo, in milliseconds, is among its details.
	Trailers  map[string][]string `json:"trailers"`
	RetryInfo *int64              `json:"retryInfo"`
	// Head is sent before.
	Head bool `json:"head"`
}

type Seen struct {
	Method           string  `json:"method"`
	Text             string  `json:"text"`
	PreviousAttempts int     `json:"previousAttempts"`
	IdempotencyKey   *string `json:"idempotencyKey,omitempty"`
	Remaining        *int64  `json:"remaining,omitempty"`
	cancelled        <-chan struct{}
}

type Echo struct {
	mu          sync.Mutex
	steps       []Step
	seen        []Seen
	connections *listener
}

func text(value string) *wrapperspb.StringValue { return wrapperspb.String(value) }

// received remembers the request, and takes its step.
func (e *Echo) received(ctx context.Context, method string, request *wrapperspb.StringValue) Step {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := Seen{Method: method, Text: request.GetValue(), cancelled: ctx.Done()}
	md, _ := metadata.FromIncomingContext(ctx)
	if values := md.Get("grpc-previous-rpc-attempts"); len(values) > 0 {
		seen.PreviousAttempts, _ = strconv.Atoi(values[0])
	}
	if values := md.Get("idempotency-key"); len(values) > 0 {
		seen.IdempotencyKey = &values[0]
	}
	if deadline, ok := ctx.Deadline(); ok {
		remaining := time.Until(deadline).Milliseconds()
		seen.Remaining = &remaining
	}
	e.seen = append(e.seen, seen)
	if len(e.steps) == 0 {
		return Step{Tag: "Answer", Messages: -1}
	}
	step := e.steps[0]
	e.steps = e.steps[1:]
	return step
}

// fail does what a step says of the end of a request that is not answered.
func (e *Echo) fail(ctx context.Context, step Step) error {
	switch step.Tag {
	case "Stall":
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	case "Reset":
		from, _ := peer.FromContext(ctx)
		e.connections.reset(from.Addr)
		return status.Error(codes.Internal, "nobody is there to read this")
	}
	if step.Head {
		_ = grpc.SendHeader(ctx, metadata.Pairs("x-head", "1"))
	}
	_ = grpc.SetTrailer(ctx, metadata.MD(step.Trailers))
	result := status.New(codes.Code(step.Code), step.Details)
	if step.RetryInfo != nil {
		delay := durationpb.New(time.Duration(*step.RetryInfo) * time.Millisecond)
		detailed, err := result.WithDetails(
			&errdetails.DebugInfo{Detail: "of another type"},
			&errdetails.RetryInfo{RetryDelay: delay},
		)
		if err != nil {
			log.Fatal(err)
		}
		result = detailed
	}
	return result.Err()
}

func (e *Echo) unary(ctx context.Context, method string, request *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	step := e.received(ctx, method, request)
	if step.Tag == "Answer" {
		return text(request.GetValue()), nil
	}
	return nil, e.fail(ctx, step)
}

func (e *Echo) list(request *wrapperspb.StringValue, stream grpc.ServerStream) error {
	step := e.received(stream.Context(), "List", request)
	words := strings.Fields(request.GetValue())
	count := step.Messages
	if step.Tag == "Answer" {
		count = len(words)
	}
	for _, word := range words[:count] {
		if err := stream.SendMsg(text(word)); err != nil {
			return err
		}
	}
	if step.Tag == "Answer" {
		return nil
	}
	if step.Tag == "Reset" {
		// what was written is to arrive before
		time.Sleep(50 * time.Millisecond)
	}
	return e.fail(stream.Context(), step)
}

func (e *Echo) script(_ context.Context, request *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	var steps []Step
	if err := json.Unmarshal([]byte(request.GetValue()), &steps); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.steps = append(e.steps, steps...)
	return text(""), nil
}

func (e *Echo) allSeen(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all, err := json.Marshal(append([]Seen{}, e.seen...))
	return text(string(all)), err
}

// waitCancelled answers when nobody waits any more for the request of that number.
func (e *Echo) waitCancelled(ctx context.Context, request *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	number, err := strconv.Atoi(request.GetValue())
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	cancelled := e.seen[number].cancelled
	e.mu.Unlock()
	select {
	case <-cancelled:
		return text(""), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// listener knows its connections, so that one can be reset.
type listener struct {
	net.Listener
	open sync.Map
}

func (l *listener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err == nil {
		l.open.Store(connection.RemoteAddr().String(), connection)
	}
	return connection, err
}

func (l *listener) reset(address net.Addr) {
	if connection, ok := l.open.LoadAndDelete(address.String()); ok {
		tcp := connection.(*net.TCPConn)
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
}

type handler = func(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error)

func method(name string, handle handler) grpc.MethodDesc {
	return grpc.MethodDesc{
		MethodName: name,
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			request := new(wrapperspb.StringValue)
			if err := decode(request); err != nil {
				return nil, err
			}
			return handle(ctx, request)
		},
	}
}

func (e *Echo) describe() *grpc.ServiceDesc {
	named := func(name string) grpc.MethodDesc {
		return method(name, func(ctx context.Context, request *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			return e.unary(ctx, name, request)
		})
	}
	return &grpc.ServiceDesc{
		ServiceName: "interop.v1.Echo",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			named("Echo"),
			named("Read"),
			method("Script", e.script),
			method("Seen", e.allSeen),
			method("Cancelled", e.waitCancelled),
		},
		Streams: []grpc.StreamDesc{{
			StreamName:    "List",
			ServerStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error {
				request := new(wrapperspb.StringValue)
				if err := stream.RecvMsg(request); err != nil {
					return err
				}
				return e.list(request, stream)
			},
		}},
	}
}

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	flag.Parse()

	inner, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	connections := &listener{Listener: inner}
	echo := &Echo{connections: connections}
	server := grpc.NewServer()
	server.RegisterService(echo.describe(), echo)

	ready, _ := json.Marshal(map[string]string{"address": inner.Addr().String()})
	fmt.Println(string(ready))

	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(server.Serve(connections))
}
