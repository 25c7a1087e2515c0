/**
 * The weather: what goes wrong without anyone's bug. One class, a closed union of codes, each with
 * its own fields. `message` is for a person and says what to do; `fault.code` is for programs.
 */
export type Fault =
  // People's input and the state of the mesh as people see it.
  | { code: 'BAD_INPUT'; field?: string }
  | { code: 'NAME_TAKEN'; name: string }
  | { code: 'NAME_AMBIGUOUS'; name: string; ids: string[] }
  | { code: 'NOT_FOUND'; what: string }
  | { code: 'UNKNOWN_REGION'; region: string; known: string[] }
  | { code: 'TOO_FEW_NODES'; wanted: number; available: number }
  | { code: 'NO_CAPACITY'; neededBytes: number; availableBytes: number }
  | { code: 'VOLUME_ATTACHED'; host: string; since: number }
  | { code: 'HOLDS_CHUNKS'; volumes: string[] }
  | { code: 'NEEDS_FORCE'; why: string }
  | { code: 'CONFLICT'; what: string }
  // Membership.
  | { code: 'NOT_A_MEMBER' }
  | { code: 'NOT_ADMIN' }
  | { code: 'EXPIRED'; at: number }
  | { code: 'REVOKED'; peer: string }
  | { code: 'FOREIGN_MESH' }
  | { code: 'BAD_SIGNATURE' }
  | { code: 'INVITE_USED' }
  // The node and its data directory.
  | {
      code: 'DATA_DIR'
      dir: string
      problem:
        | 'absent'
        | 'not-writable'
        | 'in-use'
        | 'foreign'
        | 'copied'
        | 'damaged'
        | 'not-empty'
        | 'format'
    }
  | { code: 'PORT_TAKEN'; address: string }
  | { code: 'DAEMON_UNREACHABLE'; socket: string }
  | { code: 'QUARANTINED'; why: string }
  // Network.
  | { code: 'UNREACHABLE'; peer: string }
  | { code: 'TIMEOUT'; afterMs: number }
  | { code: 'CLOSED' }
  | { code: 'BAD_MESSAGE'; protocol: string }
  | { code: 'LIMIT'; limit: string }
  // Data path; mapped to NBD errors in one table (node/nbd/errors.ts).
  | { code: 'MOVED'; node: string }
  | { code: 'STALE_TOKEN' }
  | { code: 'NO_CHUNK' }
  | { code: 'BAD_CHECKSUM' }
  | { code: 'NO_SPACE' }
  | { code: 'BUSY'; retryAfterMs: number }
  | { code: 'IO_ERROR' }
  | { code: 'OUT_OF_RANGE' }
  | { code: 'FENCED'; by: string }
  // What an NBD server answered our client: EIO, ENOSPC, ... (node/nbd/client.ts).
  | { code: 'NBD_ERROR'; error: string }

export type FaultCode = Fault['code']

export class ShoalError extends Error {
  override readonly name = 'ShoalError'
  readonly fault: Fault

  constructor(fault: Fault, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.fault = fault
  }
}

/** True if `error` is a ShoalError with one of these codes (any code if none is named). */
export function isFault(error: unknown, ...codes: FaultCode[]): error is ShoalError {
  return error instanceof ShoalError && (codes.length === 0 || codes.includes(error.fault.code))
}

/** The message of anything thrown, for logs and for people. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
