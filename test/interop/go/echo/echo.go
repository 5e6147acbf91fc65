// Package echo is what the gRPC servers of the interop tests have in common: the steps they are told to take, the requests
// they had, and connections that can be reset.
package echo

import (
	"context"
	"encoding/json"
	"net"
	"strconv"
	"sync"
	"time"
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

// Seen is a request.
type Seen struct {
	Method           string  `json:"method"`
	Text             string  `json:"text"`
	PreviousAttempts int     `json:"previousAttempts"`
	IdempotencyKey   *string `json:"idempotencyKey,omitempty"`
	Remaining        *int64  `json:"remaining,omitempty"`
	cancelled        <-chan struct{}
}

// Script is the steps to come and the requests there were.
type Script struct {
	mu    sync.Mutex
	steps []Step
	seen  []Seen
}

// Received remembers a request, and takes its step.
func (s *Script) Received(ctx context.Context, method, text string, metadata map[string][]string) Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := Seen{Method: method, Text: text, cancelled: ctx.Done()}
	if values := metadata["grpc-previous-rpc-attempts"]; len(values) > 0 {
		seen.PreviousAttempts, _ = strconv.Atoi(values[0])
	}
	if values := metadata["idempotency-key"]; len(values) > 0 {
		seen.IdempotencyKey = &values[0]
	}
	if deadline, ok := ctx.Deadline(); ok {
		remaining := time.Until(deadline).Milliseconds()
		seen.Remaining = &remaining
	}
	s.seen = append(s.seen, seen)
	if len(s.steps) == 0 {
		return Step{Tag: "Answer"}
	}
	step := s.steps[0]
	s.steps = s.steps[1:]
	return step
}

// Add takes more steps, in JSON.
func (s *Script) Add(_ context.Context, text string) (string, error) {
	var steps []Step
	if err := json.Unmarshal([]byte(text), &steps); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, steps...)
	return "", nil
}

// Seen is all requests, in JSON.
func (s *Script) Seen(context.Context, string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := json.Marshal(append([]Seen{}, s.seen...))
	return string(all), err
}

// Cancelled answers when nobody waits any more for the request of that number.
func (s *Script) Cancelled(ctx context.Context, text string) (string, error) {
	number, err := strconv.Atoi(text)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	cancelled := s.seen[number].cancelled
	s.mu.Unlock()
	select {
	case <-cancelled:
		return "", nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Connections knows those that are open by the address of their other side.
type Connections struct{ open sync.Map }

// Add remembers one.
func (c *Connections) Add(address net.Addr, connection net.Conn) {
	c.open.Store(address.String(), connection)
}

// Reset breaks the one of that address.
func (c *Connections) Reset(address net.Addr) {
	if connection, ok := c.open.LoadAndDelete(address.String()); ok {
		tcp := connection.(*net.TCPConn)
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
	}
}
