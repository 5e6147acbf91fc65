// Command kitexgrpc is a server of github.com/cloudwego/kitex that speaks Protobuf over gRPC, for the interop tests: the unary
// methods of test/support/grpcEcho.proto, told by its method Script what to do with the next requests.
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
	"time"

	"effect-rpc-retry/interop/echo"

	"github.com/cloudwego/kitex/pkg/klog"
	"github.com/cloudwego/kitex/pkg/remote/trans/nphttp2"
	"github.com/cloudwego/kitex/pkg/remote/trans/nphttp2/codes"
	"github.com/cloudwego/kitex/pkg/remote/trans/nphttp2/metadata"
	"github.com/cloudwego/kitex/pkg/remote/trans/nphttp2/status"
	"github.com/cloudwego/kitex/pkg/rpcinfo"
	"github.com/cloudwego/kitex/pkg/serviceinfo"
	"github.com/cloudwego/kitex/pkg/streaming"
	"github.com/cloudwego/kitex/server"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type Echo struct {
	echo.Script
	connections echo.Connections
}

func (e *Echo) unary(ctx context.Context, method, text string) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	step := e.Received(ctx, method, text, md)
	switch step.Tag {
	case "Answer":
		return text, nil
	case "Stall":
		<-ctx.Done()
		// of an error that is no status Kitex makes INTERNAL; grpc-go does this by itself
		return "", status.FromContextError(ctx.Err()).Err()
	case "Reset":
		e.connections.Reset(rpcinfo.GetRPCInfo(ctx).From().Address())
		return "", status.Err(codes.Internal, "nobody is there to read this")
	}
	_ = nphttp2.SetTrailer(ctx, metadata.MD(step.Trailers))
	result := status.New(codes.Code(step.Code), step.Details)
	if step.RetryInfo != nil {
		delay := durationpb.New(time.Duration(*step.RetryInfo) * time.Millisecond)
		detailed, err := result.WithDetails(&errdetails.RetryInfo{RetryDelay: delay})
		if err != nil {
			log.Fatal(err)
		}
		result = detailed
	}
	return "", result.Err()
}

// method is what Kitex generates of a unary method of Protobuf, for calls over gRPC.
func method(handle func(context.Context, string) (string, error)) serviceinfo.MethodInfo {
	handler := func(ctx context.Context, _, args, _ any) error {
		stream := args.(*streaming.Args).Stream
		request := new(wrapperspb.StringValue)
		if err := stream.RecvMsg(request); err != nil {
			return err
		}
		answer, err := handle(ctx, request.GetValue())
		if err != nil {
			return err
		}
		return stream.SendMsg(wrapperspb.String(answer))
	}
	empty := func() any { return new(wrapperspb.StringValue) }
	return serviceinfo.NewMethodInfo(handler, empty, empty, false, serviceinfo.WithStreamingMode(serviceinfo.StreamingUnary))
}

func (e *Echo) describe() *serviceinfo.ServiceInfo {
	named := func(name string) serviceinfo.MethodInfo {
		return method(func(ctx context.Context, text string) (string, error) { return e.unary(ctx, name, text) })
	}
	return &serviceinfo.ServiceInfo{
		ServiceName:  "Echo",
		PayloadCodec: serviceinfo.Protobuf,
		Methods: map[string]serviceinfo.MethodInfo{
			"Echo":      named("Echo"),
			"Read":      named("Read"),
			"Script":    method(e.Add),
			"Seen":      method(e.Script.Seen),
			"Cancelled": method(e.Cancelled),
		},
		Extra: map[string]any{serviceinfo.PackageName: "interop.v1"},
	}
}

// forward gives each connection one of its own to the server, whose sockets are not to be had, so that one can be reset.
func (e *Echo) forward(from net.Listener, to net.Addr) error {
	for {
		outside, err := from.Accept()
		if err != nil {
			return err
		}
		inside, err := net.Dial("tcp", to.String())
		if err != nil {
			return err
		}
		e.connections.Add(inside.LocalAddr(), outside)
		pipe := func(target, source net.Conn) {
			_, _ = io.Copy(target, source)
			_ = target.Close()
			_ = source.Close()
		}
		go pipe(inside, outside)
		go pipe(outside, inside)
	}
}

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	flag.Parse()
	klog.SetLevel(klog.LevelFatal)

	outer, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	service := new(Echo)
	kitex := server.NewServer(server.WithListener(inner))
	if err := kitex.RegisterService(service.describe(), service); err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(kitex.Run()) }()
	go func() { log.Fatal(service.forward(outer, inner.Addr())) }()

	ready, _ := json.Marshal(map[string]string{"address": outer.Addr().String()})
	fmt.Println(string(ready))

	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}
