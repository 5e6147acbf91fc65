/** Without isolation the last mutant is still active here, where a file begins to be collected. */
const { __stryker__ } = globalThis as { __stryker__?: { activeMutant?: string } }
delete __stryker__?.activeMutant
