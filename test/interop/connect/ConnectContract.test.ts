/**
 * The contract, over each of the transports.
 */
import * as ConnectServer from "../../support/connectServer.js"
import { contract } from "../../support/contract.js"

for (const kind of ConnectServer.kinds) {
  contract(kind, { make: ConnectServer.subject(kind) })
}
