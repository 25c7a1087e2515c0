// Goal: no bytes at the NBD port stop the daemon, and other clients do not notice them.
// Method: thousands of spoiled handshakes and requests over the real socket, each on a connection
// of its own, while another client works on another volume and checks every read.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_CACHE,
  NBD_CMD_DISC,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NBD_OPT_ABORT,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_GO,
  NBD_OPT_INFO,
  NBD_OPT_LIST,
  NBD_OPT_LIST_META_CONTEXT,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STARTTLS,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REQUEST_MAGIC
} from '../../protocols/nbd/constants.ts'
import { encodeClientFlags, encodeOption, encodeString } from '../../protocols/nbd/handshake.ts'
import { Bystander } from '../support/process-bystander.ts'
import { useMesh } from '../support/process-fixture.ts'
import { shootSocket, volley } from '../support/process-fuzz.ts'
import { mutate } from '../support/process-mutate.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'

const MUTATIONS = 2500
const seed = seedOfRun()

describe('wrong bytes at the NBD port', () => {
  const mesh = useMesh([
    { name: 'west', region: 'eu-west', capacity: '1G' },
    { name: 'gate', region: 'eu-west', capacity: '0' }
  ])
  let path = ''
  let bystander: Bystander | undefined
  beforeAll(async () => {
    const uri = await mesh().volume(mesh().node('gate'), 'fuzzed', '--size', '16M')
    path = new URL(uri).searchParams.get('socket') ?? ''
    bystander = await Bystander.start(mesh(), mesh().node('gate'), seed)
  })
  afterAll(() => bystander?.stop())

  it('in the handshake hurt nobody', async () => {
    const random = new SeededRandom(seed)
    const result = await volley(MUTATIONS, () =>
      shootSocket({ path }, mutate(HANDSHAKES, random), random)
    )
    expect(result).toEqual({ delivered: MUTATIONS, hanging: 0 })
    expect(await bystander?.verdict()).toEqual('undisturbed')
  })

  it('in the transmission hurt nobody', async () => {
    const random = new SeededRandom(seed + 1)
    const result = await volley(MUTATIONS, () => {
      const bytes = Buffer.concat([GO, mutate(REQUESTS, random)])
      return shootSocket({ path }, bytes, random)
    })
    expect(result).toEqual({ delivered: MUTATIONS, hanging: 0 })
    expect(await bystander?.verdict()).toEqual('undisturbed')
  })
})

const FLAGS = encodeClientFlags(3)
const NAME = encodeString('fuzzed')
const NO_INFO = Buffer.alloc(2)
const CONTEXT = Buffer.concat([NAME, Buffer.from([0, 0, 0, 1]), encodeString('base:allocation')])
const GO = Buffer.concat([
  FLAGS,
  encodeOption(NBD_OPT_STRUCTURED_REPLY),
  encodeOption(NBD_OPT_SET_META_CONTEXT, CONTEXT),
  encodeOption(NBD_OPT_GO, Buffer.concat([NAME, NO_INFO]))
])

const HANDSHAKES: [Buffer, ...Buffer[]] = [
  GO,
  ...[
    encodeOption(NBD_OPT_EXPORT_NAME, Buffer.from('fuzzed')),
    encodeOption(NBD_OPT_INFO, Buffer.concat([NAME, Buffer.from([0, 1, 0, 3])])),
    encodeOption(NBD_OPT_LIST),
    encodeOption(NBD_OPT_LIST_META_CONTEXT, CONTEXT),
    encodeOption(NBD_OPT_STARTTLS),
    encodeOption(NBD_OPT_ABORT)
  ].map(option => Buffer.concat([FLAGS, option]))
]

const REQUESTS: [Buffer, ...Buffer[]] = [
  request(NBD_CMD_READ, 4096, 8192),
  Buffer.concat([request(NBD_CMD_WRITE, 4096, 1000), Buffer.alloc(1000, 7)]),
  Buffer.concat([
    request(NBD_CMD_WRITE, 0, 4096),
    Buffer.alloc(4096, 9),
    request(NBD_CMD_READ, 0, 512)
  ]),
  request(NBD_CMD_FLUSH, 0, 0),
  request(NBD_CMD_TRIM, 8192, 65536),
  request(NBD_CMD_CACHE, 0, 4096),
  request(NBD_CMD_WRITE_ZEROES, 100, 20_000),
  request(NBD_CMD_BLOCK_STATUS, 0, 1 << 20),
  request(NBD_CMD_DISC, 0, 0)
]

function request(type: number, offsetBytes: number, lengthBytes: number): Buffer {
  const frame = Buffer.alloc(28)
  frame.writeUInt32BE(NBD_REQUEST_MAGIC, 0)
  frame.writeUInt16BE(type, 6)
  frame.writeBigUInt64BE(0x1122334455667788n, 8)
  frame.writeBigUInt64BE(BigInt(offsetBytes), 16)
  frame.writeUInt32BE(lengthBytes, 24)
  return frame
}
