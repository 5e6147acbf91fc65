// Command gobecho reads gob values from its standard input, each behind its type, and writes each again as gob, with what Go
// thinks it is in text. It is for the interop tests.
//
// In: lines of "type hex". A type is the name of one that is declared here, or the description of any in JSON without spaces:
// {"kind":"slice","elem":{"kind":"int8"}}. Out: lines of JSON {"hex": ..., "text": ..., "error": ...}.
package main

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"
)

type Point struct{ X, Y int }

type Circle struct{ Radius float64 }

type Tree struct {
	Value       int
	Left, Right *Tree
}

// Forest holds itself through a slice and a map.
type Forest struct {
	Name  string
	Trees []Forest
	Named map[string]Forest
}

// Anything holds itself through interfaces.
type Anything struct {
	One  interface{}
	Many []interface{}
	Map  map[string]interface{}
}

type Everything struct {
	Bool     bool
	Int8     int8
	Int64    int64
	Uint8    uint8
	Uint64   uint64
	Float32  float32
	Float64  float64
	Complex  complex128
	Text     string
	Bytes    []byte
	List     []int
	Lists    [][]string
	Array    [3]int
	Map      map[string]int
	IntMap   map[int]string
	Nested   Point
	Pointer  *Point
	Points   []Point
	Anything interface{}
	Time     time.Time
	Zero     int
	Unknown  string
}

var types = map[string]reflect.Type{
	"bool":       reflect.TypeOf(false),
	"int":        reflect.TypeOf(0),
	"uint":       reflect.TypeOf(uint64(0)),
	"float":      reflect.TypeOf(0.0),
	"complex":    reflect.TypeOf(complex128(0)),
	"string":     reflect.TypeOf(""),
	"bytes":      reflect.TypeOf([]byte(nil)),
	"ints":       reflect.TypeOf([]int(nil)),
	"array":      reflect.TypeOf([3]int{}),
	"map":        reflect.TypeOf(map[string]int(nil)),
	"intmap":     reflect.TypeOf(map[int]string(nil)),
	"point":      reflect.TypeOf(Point{}),
	"pointmap":   reflect.TypeOf(map[Point][]string(nil)),
	"nested":     reflect.TypeOf([][2]map[string]*Point(nil)),
	"tree":       reflect.TypeOf(Tree{}),
	"forest":     reflect.TypeOf(Forest{}),
	"time":       reflect.TypeOf(time.Time{}),
	"times":      reflect.TypeOf(map[string]time.Time(nil)),
	"bigint":     reflect.TypeOf(big.Int{}),
	"url":        reflect.TypeOf(url.URL{}),
	"anything":   reflect.TypeOf(Anything{}),
	"empty":      reflect.TypeOf(struct{}{}),
	"everything": reflect.TypeOf(Everything{}),
}

type description struct {
	Kind   string
	Elem   *description
	Key    *description
	Len    int
	Fields []*description
}

var basics = map[string]reflect.Type{
	"bool":       reflect.TypeOf(false),
	"int8":       reflect.TypeOf(int8(0)),
	"int16":      reflect.TypeOf(int16(0)),
	"int32":      reflect.TypeOf(int32(0)),
	"int64":      reflect.TypeOf(int64(0)),
	"uint8":      reflect.TypeOf(uint8(0)),
	"uint16":     reflect.TypeOf(uint16(0)),
	"uint32":     reflect.TypeOf(uint32(0)),
	"uint64":     reflect.TypeOf(uint64(0)),
	"float32":    reflect.TypeOf(float32(0)),
	"float64":    reflect.TypeOf(0.0),
	"complex64":  reflect.TypeOf(complex64(0)),
	"complex128": reflect.TypeOf(complex128(0)),
	"string":     reflect.TypeOf(""),
	"bytes":      reflect.TypeOf([]byte(nil)),
	"time":       reflect.TypeOf(time.Time{}),
	"any":        reflect.TypeOf((*interface{})(nil)).Elem(),
}

func (d *description) build() reflect.Type {
	switch d.Kind {
	case "slice":
		return reflect.SliceOf(d.Elem.build())
	case "array":
		return reflect.ArrayOf(d.Len, d.Elem.build())
	case "map":
		return reflect.MapOf(d.Key.build(), d.Elem.build())
	case "pointer":
		return reflect.PointerTo(d.Elem.build())
	case "struct":
		fields := make([]reflect.StructField, len(d.Fields))
		for i, field := range d.Fields {
			fields[i] = reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: field.build()}
		}
		return reflect.StructOf(fields)
	}
	return basics[d.Kind]
}

func typeOf(name string) (reflect.Type, error) {
	if !strings.HasPrefix(name, "{") {
		return types[name], nil
	}
	described := new(description)
	err := json.Unmarshal([]byte(name), described)
	return described.build(), err
}

func echo(name, input string) (output, text string, err error) {
	raw, err := hex.DecodeString(input)
	if err != nil {
		return "", "", err
	}
	wanted, err := typeOf(name)
	if err != nil {
		return "", "", err
	}
	value := reflect.New(wanted)
	if err := gob.NewDecoder(bytes.NewReader(raw)).DecodeValue(value); err != nil {
		return "", "", err
	}
	var buffer bytes.Buffer
	if err := gob.NewEncoder(&buffer).EncodeValue(value); err != nil {
		return "", "", err
	}
	text = fmt.Sprintf("%+v", value.Elem().Interface())
	if printed, ok := value.Interface().(fmt.Stringer); ok {
		text = printed.String()
	}
	return hex.EncodeToString(buffer.Bytes()), text, nil
}

func main() {
	gob.RegisterName("main.Circle", Circle{})
	gob.RegisterName("main.Anything", Anything{})
	gob.RegisterName("points", []Point(nil))
	gob.RegisterName("times", map[string]time.Time(nil))
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<28)
	for lines.Scan() {
		name, input, _ := strings.Cut(lines.Text(), " ")
		output, text, err := echo(name, input)
		answer := map[string]string{"hex": output, "text": text}
		if err != nil {
			answer["error"] = err.Error()
		}
		line, _ := json.Marshal(answer)
		fmt.Println(string(line))
	}
}
