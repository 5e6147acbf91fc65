// Command gobecho reads gob values from its standard input, each behind the name of its type, as one that only it knows, and
// writes each again as gob, with what Go thinks it is in text. It is for the interop tests.
//
// In: lines of "type hex". Out: lines of JSON {"hex": ..., "text": ..., "error": ...}.
package main

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
	"tree":       reflect.TypeOf(Tree{}),
	"time":       reflect.TypeOf(time.Time{}),
	"everything": reflect.TypeOf(Everything{}),
}

func echo(name, input string) (output, text string, err error) {
	raw, err := hex.DecodeString(input)
	if err != nil {
		return "", "", err
	}
	value := reflect.New(types[name])
	if err := gob.NewDecoder(bytes.NewReader(raw)).DecodeValue(value); err != nil {
		return "", "", err
	}
	var buffer bytes.Buffer
	if err := gob.NewEncoder(&buffer).EncodeValue(value); err != nil {
		return "", "", err
	}
	return hex.EncodeToString(buffer.Bytes()), fmt.Sprintf("%+v", value.Elem().Interface()), nil
}

func main() {
	gob.RegisterName("main.Circle", Circle{})
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
