/**
 * `docs/examples/testing` is a suite of tests itself: it runs here.
 */
export * from "../../../docs/examples/testing/stock.test.js"
