/**
 * A server of gRPC over TLS, whose certificate is its own authority and says `other.example`.
 */
import * as grpc from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Echo, type EchoClient, type Text } from "./grpcClient.js"

const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgfhCQNfEyTWIA0py4
FLRxk+tl0QMsqDS7GV1ShndsuLuhRANCAATioTDSmWQ4Be0TMucPRRpPvBXKBmej
Rlu0gFBMCAWuucM72RXUS1h0SjFDeeRjEDunk1pomwKvDewT7QKFfZVv
-----END PRIVATE KEY-----
`

export const certificate = Buffer.from(`-----BEGIN CERTIFICATE-----
MIIBoDCCAUegAwIBAgIUKBhe6EH5c5wEBNG/wCb5Un3hQ/cwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNb3RoZXIuZXhhbXBsZTAgFw0yNjExMjMxNjI4MjVaGA8yMTI2
MTAzMDE2MjgyNVowGDEWMBQGA1UEAwwNb3RoZXIuZXhhbXBsZTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABOKhMNKZZDgF7RMy5w9FGk+8FcoGZ6NGW7SAUEwIBa65
wzvZFdRLWHRKMUN55GMQO6eTWmibAq8N7BPtAoV9lW+jbTBrMB0GA1UdDgQWBBTX
OnwdjdlpOW8pdMzaURKJ4Wr/bDAfBgNVHSMEGDAWgBTXOnwdjdlpOW8pdMzaURKJ
4Wr/bDAPBgNVHRMBAf8EBTADAQH/MBgGA1UdEQQRMA+CDW90aGVyLmV4YW1wbGUw
CgYIKoZIzj0EAwIDRwAwRAIgaWqpvqQXen0GMuXMCmpSgdkpaS7Q0Z0SVAMnDHzm
jlICIC2H741cYVPxLSd2WqGO40GsVH+1BURvTXuuHyNVJaKJ
-----END CERTIFICATE-----
`)

/** Nobody's authority. */
export const stranger = Buffer.from(`-----BEGIN CERTIFICATE-----
MIIBljCCATugAwIBAgIUA1Q1x1kFA9XxjUqL8UKqeJH3J9owCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJeC5leGFtcGxlMCAXDTI2MTEyMzE2MjgyNVoYDzIxMjYxMDMw
MTYyODI1WjAUMRIwEAYDVQQDDAl4LmV4YW1wbGUwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQiYbBMhpybjtRxXily+PtjWt5G/+qtpv1536Wdm1LZdRHAEuzVpb8k
64Rbrr/CO7dzmj/fibhWFiXDUYo99/8lo2kwZzAdBgNVHQ4EFgQUhTAvOu3xMwvR
mRhiSD6ld+qp7WMwHwYDVR0jBBgwFoAUhTAvOu3xMwvRmRhiSD6ld+qp7WMwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALggl4LmV4YW1wbGUwCgYIKoZIzj0EAwID
SQAwRgIhAPZLRCk5zQvy5xfKuidmUm3rct2zEj5LR8ztc1NdIPRUAiEApWWfC/Eq
vW81fB9WhH2Q45l8DN4IgiGvq9M/0Emclls=
-----END CERTIFICATE-----
`)

export const make = Effect.gen(function*() {
  const server = new grpc.Server()
  const echo: grpc.handleUnaryCall<Text, Text> = (call, respond) => respond(null, call.request)
  server.addService(Echo.service, { Echo: echo, Read: echo, List: () => {} })
  const credentials = grpc.ServerCredentials.createSsl(null, [
    { cert_chain: certificate, private_key: Buffer.from(key) }
  ])
  const port = yield* Effect.acquireRelease(
    Effect.async<number>((resume) =>
      server.bindAsync(
        "127.0.0.1:0",
        credentials,
        (error, port) => resume(error === null ? Effect.succeed(port) : Effect.die(error))
      )
    ),
    () => Effect.sync(() => server.forceShutdown())
  )
  return { address: `127.0.0.1:${port}` }
})

export const client = (
  address: string,
  credentials: grpc.ChannelCredentials,
  options: grpc.ClientOptions = {}
): Effect.Effect<EchoClient, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new Echo(address, credentials, { "grpc.use_local_subchannel_pool": 1, ...options })),
    (client) => Effect.sync(() => client.close())
  )
