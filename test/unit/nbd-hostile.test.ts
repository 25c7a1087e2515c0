// Goal: whatever one client sends, leaves unread or leaves unsaid, only its own connection suffers.
// Method: bare sockets that misbehave beside a good client that verifies its data all the time.
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../node/clock.ts'
import { NBD_HANDSHAKE_TIMEOUT_MS } from '../../node/limits.ts'
import type { NbdClient } from '../../node/nbd/client.ts'
import type { Clock } from '../../node/ports.ts'
import { KiB, MiB } from '../../protocols/limits.ts'
import * as nbd from '../../protocols/nbd/constants.ts'
import { encodeClientFlags, encodeOption } from '../../protocols/nbd/handshake.ts'
import { type NbdHarness, startNbd, until } from '../support/nbd-harness.ts'
import { MemoryDevice } from '../support/nbd-memory-device.ts'
import {
  damage,
  handshakeSession,
  openingOf,
  request,
  seeded,
  transmissionSession
} from '../support/nbd-sessions.ts'

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
const SESSIONS = 1_500
const AT_A_TIME = 16

describe(`mutated sessions (SEED=${seed})`, () => {
  it.each([
    { phase: 'handshake', make: () => handshakeSession('disk'), opening: Buffer.alloc(0) },
    { phase: 'transmission', make: transmissionSession, opening: openingOf('disk') }
  ])('in the $phase hurt no other client', { timeout: 60_000 }, async ({ make, opening }) => {
    await using server = await startNbd()
    const witness = await startWitness(server)
    const random = seeded(seed)
    const sessions = Array.from({ length: SESSIONS }, () => damage(make(), random))
    const next = sessions.values()
    const lane = async () => {
      for (const session of next) await play(server, Buffer.concat([opening, session]))
    }
    await Promise.all(Array.from({ length: AT_A_TIME }, lane))
    expect(await witness.stop()).toBeGreaterThan(0)
    await until(() => server.server.connections().length === 1, 'the intruders are gone')
    expect(server.logged.filter(line => !line.startsWith('nbd: bad client'))).toEqual([])
  })
})

it('stops reading from a client that reads no answers, and serves the others', async () => {
  const limits = { connectionBytes: 4 * MiB, serverBytes: 6 * MiB, guaranteedBytes: MiB }
  await using server = await startNbd({ limits })
  server.server.addExport('witness', new MemoryDevice(MiB))
  const greedy = [server.dial(), server.dial(), server.dial()]
  const reads = Buffer.concat(
    Array.from({ length: 200 }, (_, i) => request(nbd.NBD_CMD_READ, 0, 0, MiB, i))
  )
  for (const socket of greedy) {
    socket.pause()
    socket.write(Buffer.concat([openingOf('disk'), reads]))
  }
  const served = () => server.server.connections().filter(one => one.exportName === 'disk')
  await until(() => served().length === 3 && served().every(one => one.inFlight > 0), 'all read')
  const client = await server.client({ exportName: 'witness' })
  for (let i = 0; i < 50; i++) {
    const data = Buffer.alloc(64 * KiB, i)
    await client.write(i * 4 * KiB, data)
    expect((await client.read(i * 4 * KiB, data.length)).equals(data)).toBe(true)
  }
  const inFlight = served().map(one => one.inFlight)
  expect(inFlight.reduce((sum, requests) => sum + requests, 0)).toBeLessThanOrEqual(7)
  for (const socket of greedy) {
    socket.resume()
    let received = 0
    socket.on('data', bytes => {
      received += bytes.length
    })
    await until(() => received > 200 * MiB, 'everything is answered once it is read')
    socket.destroy()
  }
})

it('bounds what a client may have in flight', async () => {
  await using server = await startNbd({ limits: { requests: 8 } })
  let open = () => {}
  server.device.gate = new Promise(resolve => {
    open = resolve
  })
  const client = await server.client()
  const writes = Array.from({ length: 50 }, (_, i) => client.write(i, Buffer.from([i])))
  await until(() => server.device.inFlight === 8, 'eight are with the device')
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
  open()
  await Promise.all(writes)
  expect(server.device.greatestInFlight).toBe(8)
  expect([...(await client.read(0, 50))]).toEqual([...Array(50).keys()])
})

it('answers a client that ended its side after its requests', async () => {
  await using server = await startNbd()
  const socket = server.dial()
  const received = collect(socket)
  socket.end(Buffer.concat([openingOf('disk'), request(nbd.NBD_CMD_READ, 0, 0, 4096, 77)]))
  await once(socket, 'end')
  const answer = Buffer.concat(received).subarray(-4096 - 28)
  expect(answer.readUInt32BE(0)).toBe(nbd.NBD_STRUCTURED_REPLY_MAGIC)
  expect(answer.readUInt32BE(12)).toBe(77)
})

it('does not wait for the rest of a payload, nor apply its beginning', async () => {
  await using server = await startNbd()
  const socket = server.dial()
  const half = Buffer.alloc(2 * MiB, 9)
  socket.end(Buffer.concat([openingOf('disk'), request(nbd.NBD_CMD_WRITE, 0, 0, 4 * MiB), half]))
  await once(socket.resume(), 'close')
  const client = await server.client()
  expect((await client.read(0, 4 * MiB)).every(byte => byte === 0)).toBe(true)
})

it('cuts off a client that never finishes its handshake', async () => {
  const timers: Array<{ delayMs: number; task: () => void }> = []
  const clock: Clock = {
    ...systemClock,
    after: (delayMs, task) => {
      const timer = { delayMs, task }
      timers.push(timer)
      return { cancel: () => void timers.splice(timers.indexOf(timer), 1) }
    }
  }
  await using server = await startNbd({ clock })
  const silent = server.dial()
  await once(silent, 'data')
  const client = await server.client()
  const expired = timers.filter(timer => timer.delayMs === NBD_HANDSHAKE_TIMEOUT_MS)
  expect(expired.length).toBe(1)
  for (const { task } of expired) task()
  await once(silent, 'end')
  expect((await client.read(0, 1)).length).toBe(1)
})

it.each([
  ['an option longer than any', encodeOption(nbd.NBD_OPT_INFO, Buffer.alloc(MiB))],
  ['noise instead of an option', Buffer.alloc(64, 0xa5)]
])('closes after %s', async (_, bytes) => {
  await using server = await startNbd()
  const socket = server.dial()
  socket.write(Buffer.concat([encodeClientFlags(3), bytes]))
  await once(socket.resume(), 'end')
  socket.destroy()
})

it('turns away clients above its bound, and takes new ones when some left', async () => {
  await using server = await startNbd({ limits: { connections: 2 } })
  const first = await server.client()
  await server.client()
  await expect(server.client()).rejects.toThrow(/closed|reached/)
  await first.close()
  await until(() => server.server.connections().length === 1, 'one place is free')
  await server.client()
})

/** Sends a session as it is, and waits until the server closed. */
async function play(server: NbdHarness, session: Buffer): Promise<void> {
  const socket = server.dial()
  const closed = once(socket.resume(), 'close')
  socket.end(session)
  await closed
}

/** A client of an export of its own that writes and verifies until it is stopped. */
async function startWitness(server: NbdHarness): Promise<{ stop: () => Promise<number> }> {
  server.server.addExport('witness', new MemoryDevice(MiB))
  const client: NbdClient = await server.client({ exportName: 'witness' })
  let stopped = false
  const run = async () => {
    let rounds = 0
    while (!stopped) {
      const data = Buffer.alloc(4 * KiB + (rounds % 5000), rounds)
      const at = (rounds * 777) % (512 * KiB)
      await client.write(at, data)
      expect((await client.read(at, data.length)).equals(data)).toBe(true)
      rounds++
    }
    return rounds
  }
  const running = run()
  running.catch(() => undefined)
  return {
    stop: () => {
      stopped = true
      return running
    }
  }
}

function collect(socket: Socket): Buffer[] {
  const received: Buffer[] = []
  socket.on('data', bytes => received.push(bytes))
  return received
}
