// The service of the tests. `thrift --gen js:node,ts -out es5 probe.thrift`, and the same with `js:node,ts,es6` into es6.

exception Missing {
  1: string text
  2: i32 code
}

exception Refused {
  1: string why
}

struct Item {
  1: string name
  2: i64 id
  3: list<string> tags
  4: map<string, i32> counts
  5: optional list<Item> items
}

service Base {
  string version()
}

service Probe extends Base {
  string echo(1: string text) throws (1: Missing missing)
  string once(1: string text) throws (1: Missing missing, 2: Refused refused)
  Item item(1: Item item)
  string control(1: string command)
  void nothing()
  oneway void tell(1: string text)
}
