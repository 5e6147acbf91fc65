// Package shapes has types that are registered for interfaces under the path of this package.
package shapes

type Circle struct{ Radius float64 }

type Square struct{ Side float64 }
