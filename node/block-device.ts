/**
 * A virtual disk as its users see it: the NBD server, import and export, and tests. A gateway's
 * attachment implements it. Any byte offset and length inside the device is allowed.
 *
 * Invariants: a resolved change survives the death of any process; a resolved flush (or a change
 * with `fua`) survives loss of power; overlapping changes take effect in the order of the calls (of
 * those under way at once by several users: in some order).
 * Rejections are ShoalError, with the data-path codes of protocols/fault.ts.
 */
export interface BlockDevice {
  /** Bytes; may grow. */
  sizeBytes: () => number
  /** The parts, in order, make up exactly the range. Views: do not change them. */
  read: (offsetBytes: number, lengthBytes: number) => Promise<Uint8Array[]>
  /** `data` is kept by reference until the change is flushed: never reuse it. */
  write: (offsetBytes: number, data: Uint8Array, options: { fua: boolean }) => Promise<void>
  /** Advice: whole blocks inside the range are given back and read as zeroes. */
  trim: (offsetBytes: number, lengthBytes: number, options: { fua: boolean }) => Promise<void>
  /** The range reads as zeroes; `allocate` keeps the space (NBD's NO_HOLE). */
  zero: (
    offsetBytes: number,
    lengthBytes: number,
    options: { fua: boolean; allocate: boolean }
  ) => Promise<void>
  /** Makes every change that resolved before the call durable, whichever user made it. */
  flush: () => Promise<void>
  /** Consecutive extents from `offsetBytes`, at most `lengthBytes` in all, never empty. */
  status: (offsetBytes: number, lengthBytes: number) => Promise<DeviceExtent[]>
}

/** The device as one of several users has it: what is limited is shared fairly between them. */
export interface DeviceUser extends BlockDevice {
  /** The user is gone: what waits for its turn is refused, what has begun goes on. */
  leave: () => void
}

/** A device that knows its users apart. */
export interface SharedDevice extends BlockDevice {
  user: () => DeviceUser
}

export interface DeviceExtent {
  lengthBytes: number
  /** Not allocated; reads as zeroes. */
  hole: boolean
}
