/**
 * What a call needs where no layer provides the service. It is apart from the whole service, so that a bundle whose
 * calls need no layer does not hold what layers need.
 *
 * @internal
 */
import * as RetryPolicy from "../policy/policy.js"
import * as Hub from "../telemetry/hub.js"
import type { Service } from "./model.js"

/**
 * The part of the service of calls without a layer that the calls themselves use.
 *
 * @internal
 */
export const service: Pick<Service, "policy" | "telemetry"> = {
  policy: () => RetryPolicy.default_,
  telemetry: Hub.make({ metrics: undefined, isOfDestination: () => false })
}
