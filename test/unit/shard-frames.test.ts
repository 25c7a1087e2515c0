// Goal: the bytes of shard-io and shard-control stay what their pages say, version by version.
// Method: frames written down as hex are encoded and decoded; cut and bent ones are refused.
import { describe, expect, it } from 'vitest'
import { decodeCbor, encodeCbor } from '../../protocols/cbor.ts'
import {
  controlRequestSchema,
  SHARD_CONTROL_PROTOCOL
} from '../../protocols/shard-control/messages.ts'
import {
  type Answer,
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  Op,
  SHARD_IO_PROTOCOL,
  Status
} from '../../protocols/shard-io/messages.ts'
import { GATEWAY, holder, request, token, volumeId } from '../support/shard-harness.ts'

const MOVED: Answer = {
  status: Status.moved,
  op: Op.read,
  requestId: 7,
  lengthBytes: 4096,
  retryAfterMs: 0,
  tokenCounter: 0,
  crcs: new Uint32Array(0),
  data: new Uint8Array(0),
  runs: new Uint32Array(0),
  incarnation: undefined,
  movedTo: { node: GATEWAY, epoch: { token: token(258, 0xab), counter: 9 } }
}
const MOVED_HEX = [
  '68000000', // frame bytes
  '01020000', // moved, read
  '07000000', // request id
  '00100000', // length
  '00000000'.repeat(2), // retry after, zero
  '00000000'.repeat(2), // token counter
  '09000000', // epoch counter
  '0201000000000000', // its token's counter
  '00000000000000ab', // and attach id
  Buffer.from(GATEWAY).toString('hex')
].join('')

const READ_HEX = [
  '50000000', // frame bytes
  '02000000', // read, no flags, replica 0
  '07000000', // request id
  '03000000', // extent
  '01000000', // generation 1, column 0
  '00200000', // offset
  '00100000', // length
  '01000000', // epoch counter
  '0200000000000000', // token counter
  '0000000000000001', // attach id
  '0100000000000000', // epoch's token counter
  '0000000000000001', // its attach id
  volumeId(5)
].join('')

describe('frames of shard-io 2', () => {
  it('are the bytes that are written down', () => {
    expect(SHARD_IO_PROTOCOL).toBe('/shoal/shard-io/2')
    const chunk = { volume: volumeId(5), extent: 3, generation: 1, column: 0, replica: 0 }
    const fields = { op: Op.read, requestId: 7, offsetBytes: 8192, lengthBytes: 4096, chunk }
    const read = request({ volume: volumeId(5), ...fields })
    expect(Buffer.concat(encodeRequest(read)).toString('hex')).toBe(READ_HEX)
    expect(decodeRequest(Buffer.from(READ_HEX, 'hex'))).toEqual(read)
    expect(Buffer.concat(encodeAnswer(MOVED)).toString('hex')).toBe(MOVED_HEX)
    expect(decodeAnswer(Buffer.from(MOVED_HEX, 'hex'))).toEqual(MOVED)
  })

  it('refuse a moved answer that does not say where to', () => {
    const frame = Buffer.from(MOVED_HEX, 'hex')
    for (let length = 0; length < frame.length; length++) {
      const cut = Buffer.from(frame.subarray(0, length))
      if (length >= 4) cut.writeUInt32LE(length, 0)
      // A peer id may be shorter; what is left of this one is none below 40 characters.
      if (length < 52 + 40) expect(typeof decodeAnswer(cut)).toBe('string')
    }
    const bent = Buffer.from(frame)
    bent[frame.length - 1] = 0
    expect(decodeAnswer(bent)).toBe('moved answer names no node')
    const beyond = Buffer.from(frame)
    beyond.fill(0xff, 36, 44)
    expect(decodeAnswer(beyond)).toBe('counter out of range')
    expect(() => encodeAnswer({ ...MOVED, movedTo: undefined })).toThrow('broken invariant')
    expect(() => encodeAnswer({ ...MOVED, status: Status.noChunk })).toThrow('broken invariant')
  })
})

describe('messages of shard-control 2', () => {
  it('carry a mover as the bytes that are written down', () => {
    expect(SHARD_CONTROL_PROTOCOL).toBe('/shoal/shard-control/2')
    const call = { call: 'mover', volume: volumeId(5), token: token(3), mover: holder() }
    const bytes = Buffer.from(encodeCbor(call))
    expect(bytes.toString('hex')).toBe(MOVER_HEX)
    expect(controlRequestSchema.parse(decodeCbor(bytes)?.value)).toEqual(call)
    expect(controlRequestSchema.safeParse({ ...call, mover: undefined }).success).toBe(false)
  })
})

const MOVER_HEX = [
  'a46463616c6c656d6f766572656d6f766572a364686f737467766d2d686f7374646e6f6465783431',
  '3244334b6f6f57476174657761793131313131313131313131313131313131313131313131313131',
  '31313131313131313131316573696e63650165746f6b656ea2666174746163687030303030303030',
  '30303030303030303167636f756e7465720366766f6c756d65782030303030303030303030303030',
  '30303030303030303030303030303030303035'
].join('')
