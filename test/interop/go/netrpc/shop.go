package main

import (
	"encoding"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"time"

	"effect-rpc-retry/interop/shapes"
)

// Shop has types as programs declare them: embedded structs, durations, enumerations, types that write themselves.
type Shop struct{}

type Base struct {
	Created time.Time
	Note    string
}

// ID writes itself as uuid.UUID of github.com/google/uuid does: as 16 bytes, and it reads no others.
type ID [16]byte

func (id ID) MarshalBinary() ([]byte, error) { return id[:], nil }

func (id *ID) UnmarshalBinary(data []byte) error {
	if len(data) != 16 {
		return fmt.Errorf("invalid UUID (got %d bytes)", len(data))
	}
	copy(id[:], data)
	return nil
}

// Price writes itself as decimal.Decimal of github.com/shopspring/decimal does: an exponent of 4 bytes, and the number.
type Price struct {
	units    int64
	exponent int32
}

func (p Price) GobEncode() ([]byte, error) {
	data := binary.BigEndian.AppendUint32(nil, uint32(p.exponent))
	return binary.BigEndian.AppendUint64(data, uint64(p.units)), nil
}

func (p *Price) GobDecode(data []byte) error {
	if len(data) < 4 {
		return errors.New("error decoding binary: expected at least 4 bytes")
	}
	p.exponent = int32(binary.BigEndian.Uint32(data))
	p.units = int64(binary.BigEndian.Uint64(data[4:]))
	return nil
}

var _ encoding.BinaryUnmarshaler = (*ID)(nil)
var _ gob.GobDecoder = (*Price)(nil)

type Size int

const (
	Small Size = iota
	Medium
	Large
)

type Order struct {
	Base
	ID      ID
	Price   Price
	Size    Size
	Timeout time.Duration
	Shape   interface{}
	Tags    map[string]string
}

// Echo gives back what it was given, after Go has read it into its types.
func (Shop) Echo(order *Order, reply *Order) error {
	*reply = *order
	return nil
}

// Describe is what Go thinks of an order.
func (Shop) Describe(order *Order, reply *string) error {
	*reply = fmt.Sprintf("%s %x %d %d %v %T %s", order.Note, order.ID[:2], order.Price.units, order.Size, order.Timeout,
		order.Shape, order.Created.UTC().Format(time.RFC3339Nano))
	return nil
}

// Never is an order whose time is as late as any in Go.
func (Shop) Never(_ *struct{}, reply *Order) error {
	reply.Created = time.Unix(1<<63-62135596801, 999999999)
	reply.Note = "never"
	return nil
}

// Fail answers with an error of these bytes.
func (Shop) Fail(text *[]byte, _ *int) error {
	return errors.New(string(*text))
}

func init() {
	gob.Register(shapes.Circle{})
	gob.Register(&shapes.Square{})
}
