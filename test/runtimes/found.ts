/** What the stand-ins for discovery tell of. */
export const host = "users.example.org"
export const port = 8080
export const ips = ["10.0.0.1", "10.0.0.2"] as const
export const first = `${ips[0]}:${port}`
export const both: ReadonlyArray<string> = ips.map((ip) => `${ip}:${port}`)
