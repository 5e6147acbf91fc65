module effect-rpc-retry/interop

go 1.21
