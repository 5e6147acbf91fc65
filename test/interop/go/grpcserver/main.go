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
	"strings"
	"time"

	"effect-rpc-retry/interop/echo"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type Echo struct {
	echo.Script
	connections echo.Connections
}

func text(value string) *wrapperspb.StringValue { return wrapperspb.String(value) }

// received remembers the request, and takes its step.
func (e *Echo) received(ctx context.Context, method string, request *wrapperspb.StringValue) echo.Step {
	md, _ := metadata.FromIncomingContext(ctx)
	return e.Received(ctx, method, request.GetValue(), md)
}

// fail does what a step says of the end of a request that is not answered.
func (e *Echo) fail(ctx context.Context, step echo.Step) error {
	switch step.Tag {
	case "Stall":
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	case "Reset":
		from, _ := peer.FromContext(ctx)
		e.connections.Reset(from.Addr)
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

// listener knows its connections, so that one can be reset.
type listener struct {
	net.Listener
	open *echo.Connections
}

func (l *listener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err == nil {
		l.open.Add(connection.RemoteAddr(), connection)
	}
	return connection, err
}

// control is a method of the script.
func control(handle func(context.Context, string) (string, error)) handler {
	return func(ctx context.Context, request *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		answer, err := handle(ctx, request.GetValue())
		return text(answer), err
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
			method("Script", control(e.Add)),
			method("Seen", control(e.Script.Seen)),
			method("Cancelled", control(e.Cancelled)),
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
	age := flag.Duration("max-connection-age", 0, "how old a connection may be before its client is told to leave")
	flag.Parse()

	inner, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	service := new(Echo)
	server := grpc.NewServer(grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: *age}))
	server.RegisterService(service.describe(), service)

	ready, _ := json.Marshal(map[string]string{"address": inner.Addr().String()})
	fmt.Println(string(ready))

	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(server.Serve(&listener{inner, &service.connections}))
}
