// Command kitexthrift is a Kitex server of the service Probe (test/support/thriftGen/probe.thrift), for the interop tests.
//
// Its method control takes JSON: {"script": ["Answer", ...]} says what becomes of the next requests, {"seen": true} gives all
// that came. It prints one line of JSON when it listens: {"address": "...", "certificate": "PEM, with -tls"}; with -tls the
// address is that of a proxy that takes the TLS off. It ends when its standard input does, so it cannot outlive the test that
// started it.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"effect-rpc-retry/interop/certificate"

	"github.com/bytedance/gopkg/cloud/metainfo"
	"github.com/cloudwego/gopkg/protocol/thrift"
	"github.com/cloudwego/kitex/pkg/kerrors"
	"github.com/cloudwego/kitex/pkg/klog"
	"github.com/cloudwego/kitex/pkg/limit"
	"github.com/cloudwego/kitex/pkg/remote"
	thriftcodec "github.com/cloudwego/kitex/pkg/remote/codec/thrift"
	"github.com/cloudwego/kitex/pkg/retry"
	"github.com/cloudwego/kitex/pkg/serviceinfo"
	"github.com/cloudwego/kitex/pkg/transmeta"
	"github.com/cloudwego/kitex/server"
	"github.com/cloudwego/netpoll"
)

// args are those of every method here: one string, or nothing.
type args struct{ text string }

func (a *args) BLength() int {
	return 3 + thrift.Binary.StringLength(a.text) + 1
}

func (a *args) FastWriteNocopy(buf []byte, _ thrift.NocopyWriter) int {
	return writeText(buf, 1, a.text)
}

func (a *args) FastRead(buf []byte) (off int, err error) {
	for {
		kind, id, n, err := thrift.Binary.ReadFieldBegin(buf[off:])
		off += n
		if err != nil || kind == thrift.STOP {
			return off, err
		}
		if id == 1 && kind == thrift.STRING {
			a.text, n, err = thrift.Binary.ReadString(buf[off:])
		} else {
			n, err = thrift.Binary.Skip(buf[off:], kind)
		}
		off += n
		if err != nil {
			return off, err
		}
	}
}

func writeText(buf []byte, id int16, text string) int {
	off := thrift.Binary.WriteFieldBegin(buf, thrift.STRING, id)
	off += thrift.Binary.WriteString(buf[off:], text)
	return off + thrift.Binary.WriteFieldStop(buf[off:])
}

// result is that of every method here: a string, the exception Missing, or nothing.
type result struct {
	success *string
	missing *string
}

// code is that of every Missing.
const code = 404

func (r *result) BLength() int {
	switch {
	case r.missing != nil:
		return 3 + 3 + thrift.Binary.StringLength(*r.missing) + 3 + 4 + 1 + 1
	case r.success != nil:
		return 3 + thrift.Binary.StringLength(*r.success) + 1
	default:
		return 1
	}
}

func (r *result) FastWriteNocopy(buf []byte, _ thrift.NocopyWriter) int {
	switch {
	case r.missing != nil:
		off := thrift.Binary.WriteFieldBegin(buf, thrift.STRUCT, 1)
		off += thrift.Binary.WriteFieldBegin(buf[off:], thrift.I32, 2)
		off += thrift.Binary.WriteI32(buf[off:], code)
		off += writeText(buf[off:], 1, *r.missing)
		return off + thrift.Binary.WriteFieldStop(buf[off:])
	case r.success != nil:
		return writeText(buf, 0, *r.success)
	default:
		return thrift.Binary.WriteFieldStop(buf)
	}
}

func (r *result) FastRead([]byte) (int, error) {
	return 0, errors.New("a server reads no results")
}

type seen struct {
	Text             string  `json:"text"`
	PreviousAttempts int     `json:"previousAttempts"`
	IdempotencyKey   *string `json:"idempotencyKey,omitempty"`
	Remaining        *int64  `json:"remaining,omitempty"`
	Cancelled        bool    `json:"cancelled"`
	// ContextDone says that the context of the handler was cancelled.
	ContextDone bool `json:"contextDone"`
	// IsRetry says that Kitex takes it for a retry of its caller's.
	IsRetry bool `json:"isRetry"`
}

type probe struct {
	mu    sync.Mutex
	steps []string
	all   []*seen
	told  []string
}

type connKey struct{}

// connection puts the connection of a request into its context.
type connection struct{}

func (connection) OnActive(ctx context.Context, conn net.Conn) (context.Context, error) {
	return context.WithValue(ctx, connKey{}, conn), nil
}

func (connection) OnInactive(ctx context.Context, _ net.Conn) context.Context { return ctx }

func (connection) OnRead(ctx context.Context, _ net.Conn) (context.Context, error) { return ctx, nil }

func (connection) OnMessage(ctx context.Context, _, _ remote.Message) (context.Context, error) {
	return ctx, nil
}

func (p *probe) enter(ctx context.Context, text string) (*seen, string) {
	one := &seen{Text: text, IsRetry: retry.IsRemoteRetryRequest(ctx)}
	if number, ok := metainfo.GetPersistentValue(ctx, retry.TransitKey); ok {
		one.PreviousAttempts, _ = strconv.Atoi(number)
	}
	if key, ok := metainfo.GetValue(ctx, "idempotency-key"); ok {
		one.IdempotencyKey = &key
	}
	if deadline, ok := ctx.Deadline(); ok {
		remaining := time.Until(deadline).Milliseconds()
		one.Remaining = &remaining
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, one)
	step := "Answer"
	if len(p.steps) > 0 {
		step, p.steps = p.steps[0], p.steps[1:]
	}
	return one, step
}

// stall ends when nobody waits for the answer any more.
func (p *probe) stall(ctx context.Context, one *seen) {
	conn := ctx.Value(connKey{}).(interface{ IsActive() bool })
	for conn.IsActive() {
		select {
		case <-ctx.Done():
			p.mu.Lock()
			one.ContextDone = true
			p.mu.Unlock()
			time.Sleep(time.Millisecond)
		case <-time.After(time.Millisecond):
		}
	}
	p.mu.Lock()
	one.Cancelled = true
	p.mu.Unlock()
}

func (p *probe) echo(ctx context.Context, _, a, r any) error {
	text, answer := a.(*args).text, r.(*result)
	one, step := p.enter(ctx, text)
	switch step {
	case "Fatal":
		return errors.New("no")
	case "Retryable":
		return remote.NewTransErrorWithMsg(1001, "busy: come again")
	case "Protocol":
		return remote.NewTransErrorWithMsg(remote.ProtocolError, "no such protocol")
	case "Biz":
		return kerrors.NewBizStatusErrorWithExtra(1002, "too many orders", map[string]string{"limit": "3"})
	case "Panic":
		panic("on purpose")
	case "Stall":
		p.stall(ctx, one)
		return errors.New("nobody waits")
	case "Reset":
		conn := ctx.Value(connKey{}).(net.Conn)
		return errors.Join(conn.Close(), errors.New("reset"))
	case "Domain":
		answer.missing = &text
		return nil
	default:
		answer.success = &text
		return nil
	}
}

func (p *probe) control(_ context.Context, _, a, r any) error {
	var command struct {
		Script []string
		Seen   bool
	}
	if err := json.Unmarshal([]byte(a.(*args).text), &command); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps = append(p.steps, command.Script...)
	said := any(true)
	if command.Seen {
		said = map[string]any{"seen": p.all, "told": p.told}
	}
	line, err := json.Marshal(said)
	text := string(line)
	r.(*result).success = &text
	return err
}

func (p *probe) version(_ context.Context, _, _, r any) error {
	text := "kitex"
	r.(*result).success = &text
	return nil
}

func (p *probe) tell(_ context.Context, _, a, _ any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, a.(*args).text)
	return nil
}

// withoutTLS passes on to the server what comes over TLS, and gives the address and the certificate it is to be called with.
func withoutTLS(server string) (string, string) {
	own, text := certificate.SelfSigned()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{own}})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			outside, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			inside, err := net.Dial("tcp", server)
			if err != nil {
				log.Fatal(err)
			}
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				_ = to.Close()
			}
			go pass(inside, outside)
			go pass(outside, inside)
		}
	}()
	return listener.Addr().String(), text
}

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	connections := flag.Int("connections", 0, "the most connections at a time")
	rate := flag.Int("rate", 0, "the most requests in a second")
	secure := flag.Bool("tls", false, "speak TLS, with a new certificate")
	flag.Parse()
	klog.SetOutput(io.Discard)
	netpoll.SetLoggerOutput(io.Discard)

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	p := new(probe)
	newArgs := func() any { return new(args) }
	newResult := func() any { return new(result) }
	method := func(handler serviceinfo.MethodHandler) serviceinfo.MethodInfo {
		return serviceinfo.NewMethodInfo(handler, newArgs, newResult, false)
	}
	service := &serviceinfo.ServiceInfo{
		ServiceName: "Probe",
		HandlerType: (*probe)(nil),
		Methods: map[string]serviceinfo.MethodInfo{
			"version": method(p.version),
			"echo":    method(p.echo),
			"once":    method(p.echo),
			"control": method(p.control),
			"tell":    serviceinfo.NewMethodInfo(p.tell, newArgs, nil, true),
		},
		PayloadCodec: serviceinfo.Thrift,
	}
	options := []server.Option{}
	if *connections > 0 || *rate > 0 {
		options = append(options, server.WithLimit(&limit.Option{MaxConnections: *connections, MaxQPS: *rate}))
	}
	srv := server.NewServer(append(options,
		server.WithListener(listener),
		server.WithPayloadCodec(thriftcodec.NewThriftCodecWithConfig(
			thriftcodec.FastRead|thriftcodec.FastWrite|thriftcodec.EnableSkipDecoder)),
		server.WithMetaHandler(transmeta.ServerTTHeaderHandler),
		server.WithEnableContextTimeout(true),
		server.WithBoundHandler(connection{}),
	)...)
	if err := srv.RegisterService(service, p); err != nil {
		log.Fatal(err)
	}

	ready := map[string]string{"address": listener.Addr().String()}
	if *secure {
		ready["address"], ready["certificate"] = withoutTLS(ready["address"])
	}
	line, _ := json.Marshal(ready)
	fmt.Println(string(line))

	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(srv.Run())
}
