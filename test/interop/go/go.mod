module effect-rpc-retry/interop

go 1.21

require github.com/gorilla/rpc v1.2.1
