/** Which requests an export takes: what is checked before the device hears of one. */
import { NBD_MAX_PAYLOAD_BYTES } from '../../protocols/limits.ts'
import * as nbd from '../../protocols/nbd/constants.ts'
import type { NbdRequest } from '../../protocols/nbd/transmission.ts'
import type { BlockDevice } from '../block-device.ts'

export interface RequestContext {
  readonly device: BlockDevice
  readonly readOnly: boolean
  readonly structured: boolean
  readonly allocation: boolean
}

/** Flags that each command may carry. FUA is allowed everywhere once it was offered. */
const FLAGS: Readonly<Record<number, number>> = {
  [nbd.NBD_CMD_READ]: nbd.NBD_CMD_FLAG_FUA | nbd.NBD_CMD_FLAG_DF,
  [nbd.NBD_CMD_WRITE]: nbd.NBD_CMD_FLAG_FUA,
  [nbd.NBD_CMD_FLUSH]: nbd.NBD_CMD_FLAG_FUA,
  [nbd.NBD_CMD_TRIM]: nbd.NBD_CMD_FLAG_FUA,
  [nbd.NBD_CMD_CACHE]: nbd.NBD_CMD_FLAG_FUA,
  [nbd.NBD_CMD_WRITE_ZEROES]:
    nbd.NBD_CMD_FLAG_FUA | nbd.NBD_CMD_FLAG_NO_HOLE | nbd.NBD_CMD_FLAG_FAST_ZERO,
  [nbd.NBD_CMD_BLOCK_STATUS]: nbd.NBD_CMD_FLAG_FUA | nbd.NBD_CMD_FLAG_REQ_ONE
}

/** Bytes of memory that a request keeps until its answer has left. */
export function costOf({ command, lengthBytes }: NbdRequest): number {
  const carriesData = command === nbd.NBD_CMD_READ || command === nbd.NBD_CMD_WRITE
  return carriesData && lengthBytes <= NBD_MAX_PAYLOAD_BYTES ? lengthBytes : 0
}

/** NBD_OK, or the error that the request is answered with at once. */
export function refusalOf(request: NbdRequest, context: RequestContext): number {
  const { command, flags, lengthBytes } = request
  const allowed = FLAGS[command]
  if (allowed === undefined || (flags & ~allowed) !== 0) return nbd.NBD_EINVAL
  if (command === nbd.NBD_CMD_FLUSH) return nbd.NBD_OK
  const isChange = isChangeCommand(command)
  if (isChange && context.readOnly) return nbd.NBD_EPERM
  if (request.offsetBytes + lengthBytes > context.device.sizeBytes()) {
    // As the specification has it: no room is what a disk says to data past its end.
    return isChange && command !== nbd.NBD_CMD_TRIM ? nbd.NBD_ENOSPC : nbd.NBD_EINVAL
  }
  switch (command) {
    case nbd.NBD_CMD_READ: {
      if (lengthBytes > NBD_MAX_PAYLOAD_BYTES) return nbd.NBD_EINVAL
      const unfragmented = (flags & nbd.NBD_CMD_FLAG_DF) !== 0
      return unfragmented && !context.structured ? nbd.NBD_EINVAL : nbd.NBD_OK
    }
    case nbd.NBD_CMD_WRITE_ZEROES:
      return isSlowZero(flags) ? nbd.NBD_ENOTSUP : nbd.NBD_OK
    case nbd.NBD_CMD_BLOCK_STATUS:
      return context.allocation && lengthBytes > 0 ? nbd.NBD_OK : nbd.NBD_EINVAL
    default:
      return nbd.NBD_OK
  }
}

/** Zeroes that have to be allocated are written out by the shards: no faster than data. */
function isSlowZero(flags: number): boolean {
  const slow = nbd.NBD_CMD_FLAG_FAST_ZERO | nbd.NBD_CMD_FLAG_NO_HOLE
  return (flags & slow) === slow
}

function isChangeCommand(command: number): boolean {
  return (
    command === nbd.NBD_CMD_WRITE ||
    command === nbd.NBD_CMD_TRIM ||
    command === nbd.NBD_CMD_WRITE_ZEROES
  )
}
