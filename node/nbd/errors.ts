/**
 * The one table from faults of the data path to NBD errors, and back (our client). What each means
 * to the usual clients: ENOSPC lets QEMU stop the VM until there is room (werror=enospc); EIO is a
 * failed sector; ESHUTDOWN says that this server will not serve this export any more.
 */
import { type FaultCode, ShoalError } from '../../protocols/fault.ts'
import * as nbd from '../../protocols/nbd/constants.ts'

/** Every other code is EIO. */
const ERRORS: Partial<Record<FaultCode, number>> = {
  NO_SPACE: nbd.NBD_ENOSPC,
  NO_CAPACITY: nbd.NBD_ENOSPC,
  OUT_OF_RANGE: nbd.NBD_EINVAL,
  BAD_INPUT: nbd.NBD_EINVAL,
  LIMIT: nbd.NBD_ENOMEM,
  // Another gateway holds the volume: nothing on this connection will ever succeed again, and a
  // retry here is wrong. EIO would invite one.
  FENCED: nbd.NBD_ESHUTDOWN,
  STALE_TOKEN: nbd.NBD_ESHUTDOWN,
  CLOSED: nbd.NBD_ESHUTDOWN,
  // By name what else a device meets, although EIO is the rule.
  BAD_CHECKSUM: nbd.NBD_EIO,
  IO_ERROR: nbd.NBD_EIO,
  NO_CHUNK: nbd.NBD_EIO,
  MOVED: nbd.NBD_EIO,
  BUSY: nbd.NBD_EIO,
  TIMEOUT: nbd.NBD_EIO,
  UNREACHABLE: nbd.NBD_EIO
}

const NAMES: Record<number, string> = {
  [nbd.NBD_EPERM]: 'EPERM',
  [nbd.NBD_EIO]: 'EIO',
  [nbd.NBD_ENOMEM]: 'ENOMEM',
  [nbd.NBD_EINVAL]: 'EINVAL',
  [nbd.NBD_ENOSPC]: 'ENOSPC',
  [nbd.NBD_EOVERFLOW]: 'EOVERFLOW',
  [nbd.NBD_ENOTSUP]: 'ENOTSUP',
  [nbd.NBD_ESHUTDOWN]: 'ESHUTDOWN'
}

/** What a request is answered with whose device rejected with `error`. */
export function nbdErrorOf(error: unknown): number {
  if (!(error instanceof ShoalError)) return nbd.NBD_EIO
  return ERRORS[error.fault.code] ?? nbd.NBD_EIO
}

/** Numbers that the specification does not have count as EINVAL, as it says. */
export function nbdErrorName(error: number): string {
  return NAMES[error] ?? 'EINVAL'
}

/** An NBD error as our client throws it. */
export function faultOfNbdError(error: number, doing: string, message?: string): ShoalError {
  const name = nbdErrorName(error)
  const words = message === undefined || message === '' ? '' : `: ${message}`
  return new ShoalError({ code: 'NBD_ERROR', error: name }, `${doing}: ${name}${words}`)
}
