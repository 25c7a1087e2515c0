/** Recorded NBD sessions as clients send them, and seeded damage to them. */
import * as nbd from '../../protocols/nbd/constants.ts'
import { encodeClientFlags, encodeOption } from '../../protocols/nbd/handshake.ts'
import { encodeInfoRequest, encodeMetaContextRequest } from '../../protocols/nbd/options.ts'
import { putRequest, REQUEST_BYTES } from '../../protocols/nbd/transmission.ts'

/** mulberry32: the same numbers for the same seed. In [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const allocation = nbd.NBD_ALLOCATION_CONTEXT

/** Up to and with GO. */
export function openingOf(exportName: string): Buffer {
  const queries = [allocation]
  return Buffer.concat([
    encodeClientFlags(nbd.NBD_FLAG_C_FIXED_NEWSTYLE | nbd.NBD_FLAG_C_NO_ZEROES),
    encodeOption(nbd.NBD_OPT_STRUCTURED_REPLY),
    encodeOption(
      nbd.NBD_OPT_SET_META_CONTEXT,
      encodeMetaContextRequest({ name: exportName, queries })
    ),
    encodeOption(nbd.NBD_OPT_GO, encodeInfoRequest({ name: exportName, wanted: [1, 2, 3] }))
  ])
}

/** Every option, then EXPORT_NAME and a read. */
export function handshakeSession(exportName: string): Buffer {
  const info = encodeInfoRequest({ name: exportName, wanted: [0, 1, 2, 3] })
  const meta = encodeMetaContextRequest({ name: exportName, queries: [allocation, 'base:'] })
  return Buffer.concat([
    encodeClientFlags(nbd.NBD_FLAG_C_FIXED_NEWSTYLE),
    encodeOption(nbd.NBD_OPT_LIST),
    encodeOption(nbd.NBD_OPT_STARTTLS),
    encodeOption(nbd.NBD_OPT_STRUCTURED_REPLY),
    encodeOption(nbd.NBD_OPT_INFO, info),
    encodeOption(nbd.NBD_OPT_LIST_META_CONTEXT, meta),
    encodeOption(nbd.NBD_OPT_SET_META_CONTEXT, meta),
    encodeOption(nbd.NBD_OPT_INFO, encodeInfoRequest({ name: 'nothing', wanted: [] })),
    encodeOption(nbd.NBD_OPT_EXPORT_NAME, Buffer.from(exportName)),
    request(nbd.NBD_CMD_READ, 0, 0, 512)
  ])
}

/** One request of every kind, goodbye at the end. */
export function transmissionSession(): Buffer {
  const zeroFlags = nbd.NBD_CMD_FLAG_NO_HOLE | nbd.NBD_CMD_FLAG_FUA
  return Buffer.concat([
    request(nbd.NBD_CMD_WRITE, 0, 4096, 3000),
    Buffer.alloc(3000, 7),
    request(nbd.NBD_CMD_READ, nbd.NBD_CMD_FLAG_DF, 4096, 3000),
    request(nbd.NBD_CMD_WRITE, nbd.NBD_CMD_FLAG_FUA, 0, 512),
    Buffer.alloc(512, 8),
    request(nbd.NBD_CMD_FLUSH, 0, 0, 0),
    request(nbd.NBD_CMD_TRIM, 0, 4096, 8192),
    request(nbd.NBD_CMD_CACHE, 0, 0, 65_536),
    request(nbd.NBD_CMD_WRITE_ZEROES, zeroFlags, 8192, 100),
    request(nbd.NBD_CMD_BLOCK_STATUS, nbd.NBD_CMD_FLAG_REQ_ONE, 0, 65_536),
    request(nbd.NBD_CMD_READ, 0, 0, 65_536),
    request(nbd.NBD_CMD_DISC, 0, 0, 0)
  ])
}

export function request(
  command: number,
  flags: number,
  offsetBytes: number,
  lengthBytes: number,
  cookieLow = 1
): Buffer {
  const frame = Buffer.alloc(REQUEST_BYTES)
  putRequest(frame, 0, { command, flags, cookieHigh: 0, cookieLow, offsetBytes, lengthBytes })
  return frame
}

/** One to four injuries: flipped bits, odd bytes, extreme integers, cuts, repeats, noise. */
export function damage(session: Buffer, random: () => number): Buffer {
  let bytes: Buffer = Buffer.from(session)
  const injuries = 1 + Math.floor(random() * 4)
  for (let i = 0; i < injuries && bytes.length > 8; i++) bytes = injure(bytes, random)
  return bytes
}

function injure(bytes: Buffer, random: () => number): Buffer {
  const below = (limit: number) => Math.floor(random() * limit)
  const at = below(bytes.length - 4)
  const some = at + 1 + below(Math.min(64, bytes.length - at))
  switch (below(7)) {
    case 0:
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << below(8)), at)
      return bytes
    case 1:
      bytes.writeUInt8(below(256), at)
      return bytes
    case 2:
      bytes.writeUInt32BE([0, 1, 0x7fffffff, 0x80000000, 0xffffffff][below(5)] ?? 0, at)
      return bytes
    case 3:
      return bytes.subarray(0, at + 1)
    case 4:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(some)])
    case 5:
      return Buffer.concat([bytes.subarray(0, some), bytes.subarray(at)])
    default: {
      const noise = Buffer.from(Array.from({ length: below(40) }, () => below(256)))
      return Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)])
    }
  }
}
