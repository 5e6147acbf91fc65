/** What runs in a page and in a worker. The server of the page writes `ports` before it. */
import * as Core from "./core.js"

declare const ports: Core.Ports

const told = await Core.run(Core.cases(ports)).then(JSON.stringify, String)
await fetch("/told", { method: "POST", body: told })
