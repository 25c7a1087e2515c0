// Goal: our client ends every call, with an answer or a fault, whatever the server is or does.
// Method: servers that send prepared, random and damaged bytes, or nothing at all.
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { connectNbd, type NbdClient } from '../../node/nbd/client.ts'
import { nbdTcpUri, nbdUri, pasteLines } from '../../node/nbd/uri.ts'
import { MiB } from '../../protocols/limits.ts'
import * as nbd from '../../protocols/nbd/constants.ts'
import {
  encodeClientFlags,
  encodeGreeting,
  encodeOptionReply
} from '../../protocols/nbd/handshake.ts'
import { encodeInfoReply, encodeMetaContextReply } from '../../protocols/nbd/options.ts'
import { putChunkHeader, putOffset, putSimpleReply } from '../../protocols/nbd/transmission.ts'
import { startNbd } from '../support/nbd-harness.ts'
import { damage, seeded } from '../support/nbd-sessions.ts'

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
const closers: Array<() => Promise<void>> = []

afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

it(`survives 1,000 damaged servers (SEED=${seed})`, async () => {
  const random = seeded(seed)
  const session = Buffer.concat([opening(), chunk(nbd.NBD_REPLY_TYPE_OFFSET_DATA, 1, 4096)])
  const socketPath = await serve(socket => {
    socket.end(damage(session, random))
  })
  const attempt = async () => {
    const client = await connect(socketPath)
    const calls = [client.read(0, 4096), client.blockStatus(0, 4096), client.flush()]
    await Promise.allSettled(calls)
    await client.close()
  }
  let failed = 0
  for (let i = 0; i < 1_000; i++) await attempt().catch(() => failed++)
  expect(failed).toBeGreaterThan(0)
})

it.each([
  ['that sends noise', Buffer.alloc(200, 0x5a), /fixed newstyle/],
  ['that speaks oldstyle', Buffer.from('NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53\0\0\0'), /newstyle/],
  ['that closes in the middle', encodeGreeting(), /closed the connection/]
])('says what is wrong with a server %s', async (_, bytes, message) => {
  const socketPath = await serve(socket => socket.end(bytes))
  await expect(connect(socketPath)).rejects.toThrow(message)
})

it('gives up on a server that says nothing, before and after the handshake', async () => {
  const silent = await serve(() => undefined)
  const expired = { fault: { code: 'TIMEOUT' } }
  await expect(connect(silent, { connectTimeoutMs: 50 })).rejects.toMatchObject(expired)
  const half = await serve(socket => socket.write(opening()))
  const client = await connect(half, { timeoutMs: 50 })
  const calls = [client.read(0, 10), client.write(0, Buffer.alloc(9)), client.flush()]
  for (const call of calls) await expect(call).rejects.toMatchObject(expired)
  await expect(client.read(0, 1)).rejects.toMatchObject(expired)
})

it.each([
  ['a reply to nothing', chunk(nbd.NBD_REPLY_TYPE_OFFSET_DATA, 9, 4096)],
  ['data outside of the request', chunk(nbd.NBD_REPLY_TYPE_OFFSET_DATA, 1, 8192)],
  ['less data than asked for', chunk(nbd.NBD_REPLY_TYPE_OFFSET_DATA, 1, 100)],
  ['a block status instead of data', chunk(nbd.NBD_REPLY_TYPE_BLOCK_STATUS, 1, 8)],
  ['a simple reply instead of a structured one', simple(1)]
])('takes %s for nonsense', async (_, reply) => {
  const magic = Buffer.alloc(4)
  magic.writeUInt32BE(nbd.NBD_REQUEST_MAGIC)
  const socketPath = await serve(socket => {
    socket.write(opening())
    socket.on('data', bytes => bytes.includes(magic) && socket.write(reply))
  })
  const client = await connect(socketPath)
  await expect(client.read(0, 4096)).rejects.toThrow(/nonsense/)
})

it('keeps calls within its bound, and refuses more', async () => {
  await using server = await startNbd()
  const client = await server.client()
  const calls = Array.from({ length: 1_100 }, () => client.read(0, 1))
  const results = await Promise.allSettled(calls)
  expect(results.filter(({ status }) => status === 'rejected').length).toBe(76)
  await expect(client.write(0, Buffer.alloc(33 * MiB))).rejects.toThrow(/33|maximum/)
  expect((await client.read(0, 1)).length).toBe(1)
})

it('names exports so that other programs find them', () => {
  expect(nbdUri('/run/shoal dir/nbd.sock', 'vm disk&1')).toBe(
    'nbd+unix:///vm%20disk%261?socket=/run/shoal%20dir/nbd.sock'
  )
  expect(nbdTcpUri('::1', 10809, 'disk', true)).toBe('nbds://[::1]:10809/disk')
  const lines = pasteLines("/tmp/it's/nbd.sock", 'disk')
  expect(lines.map(({ tool }) => tool)).toEqual(['qemu', 'qemu-img', 'nbd-client', 'libvirt'])
  expect(lines[2]?.text).toBe("sudo nbd-client -unix '/tmp/it'\\''s/nbd.sock' -N disk /dev/nbd0")
  expect(lines[3]?.text).toContain("socket='/tmp/it&apos;s/nbd.sock'")
})

/** What a good server says up to the end of the handshake, without waiting to be asked. */
function opening(): Buffer {
  const size = encodeInfoReply({ type: 'export', sizeBytes: MiB, flags: nbd.NBD_SERVED_FLAGS })
  const context = encodeMetaContextReply(1, nbd.NBD_ALLOCATION_CONTEXT)
  return Buffer.concat([
    encodeGreeting(),
    encodeOptionReply(nbd.NBD_OPT_STRUCTURED_REPLY, nbd.NBD_REP_ACK),
    encodeOptionReply(nbd.NBD_OPT_SET_META_CONTEXT, nbd.NBD_REP_META_CONTEXT, context),
    encodeOptionReply(nbd.NBD_OPT_SET_META_CONTEXT, nbd.NBD_REP_ACK),
    encodeOptionReply(nbd.NBD_OPT_GO, nbd.NBD_REP_INFO, size),
    encodeOptionReply(nbd.NBD_OPT_GO, nbd.NBD_REP_ACK)
  ])
}

function chunk(type: number, cookieLow: number, dataBytes: number): Buffer {
  const frame = Buffer.alloc(28 + dataBytes)
  const flags = nbd.NBD_REPLY_FLAG_DONE
  const lengthBytes = 8 + dataBytes
  putChunkHeader(frame, 0, { cookieHigh: 0, cookieLow }, { flags, type, lengthBytes })
  putOffset(frame, 20, 0)
  return frame
}

function simple(cookieLow: number): Buffer {
  const frame = Buffer.alloc(16)
  putSimpleReply(frame, 0, { cookieHigh: 0, cookieLow }, 0)
  return Buffer.concat([frame, encodeClientFlags(0)])
}

function connect(
  socketPath: string,
  times: { timeoutMs?: number; connectTimeoutMs?: number } = {}
): Promise<NbdClient> {
  return connectNbd({ socketPath, exportName: 'disk', timeoutMs: 2_000, ...times })
}

/** A server that does `act` to everyone who comes. */
async function serve(act: (socket: Socket) => void): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'shoal-nbd-'))
  const path = join(directory, 'nbd.sock')
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
    socket.resume()
    act(socket)
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  closers.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
    await rm(directory, { recursive: true, force: true })
  })
  return path
}
