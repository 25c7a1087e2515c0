// Goal: no reader is flooded and no byte is lost, whatever the speeds of the two ends.
// Method: real streams between two hosts over TLS and TCP on loopback; readers that stand still.
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  READ_HIGH_MARK_BYTES,
  STREAM_WINDOW_BYTES,
  WRITE_HIGH_MARK_BYTES
} from '../../node/limits.ts'
import type { ByteStream } from '../../node/ports.ts'
import { duplex } from '../../node/stream/duplex.ts'
import { KiB, MiB } from '../../protocols/limits.ts'
import type { Member } from '../support/host-mesh.ts'
import { HostMesh, until } from '../support/host-mesh.ts'

const mesh = new HostMesh()
let a: Member
let b: Member

beforeAll(async () => {
  a = await mesh.init()
  b = await mesh.grow(a, 'second')
  await mesh.connect(a, b)
})
afterAll(() => mesh.close())

/** A stream from a to b, both ends. */
async function pair(protocol: string): Promise<[near: ByteStream, far: ByteStream]> {
  const far = new Promise<ByteStream>(resolve => b.host.handle(protocol, resolve))
  await new Promise(resolve => setImmediate(resolve))
  const near = await a.host.open(b.identity.id, protocol)
  return [near, await far]
}

/** Writes until `total` bytes or until told to wait; how much was taken. */
async function writeAll(stream: ByteStream, total: number, piece: Uint8Array): Promise<void> {
  for (let sent = 0; sent < total; sent += piece.length) {
    if (!stream.write(piece)) await stream.drained()
  }
  await stream.end()
}

describe('a stream between members', () => {
  it('passes 64 MiB intact in both directions at once', async () => {
    const [near, far] = await pair('/test/bulk/1')
    const piece = Buffer.alloc(192 * KiB, 'shoal of herring ')
    const total = 64 * MiB
    const pieces = Math.ceil(total / piece.length)
    const expected = createHash('sha256')
    for (let i = 0; i < pieces; i++) expected.update(piece)
    const digests = [near, far].map(stream => {
      const hash = createHash('sha256')
      stream.onBytes(bytes => void hash.update(bytes))
      return new Promise<string>((resolve, reject) => {
        stream.onEnd(() => resolve(hash.digest('hex')))
        stream.onClose(error => error !== undefined && reject(error))
      })
    })
    await Promise.all([writeAll(near, total, piece), writeAll(far, total, piece)])
    const wanted = expected.digest('hex')
    expect(await Promise.all(digests)).toEqual([wanted, wanted])
  }, 60_000)

  it('stops a writer whose reader stands still, and loses nothing when it goes on', async () => {
    const [near, far] = await pair('/test/slow/1')
    let received = 0
    far.pause()
    far.onBytes(bytes => {
      received += bytes.length
    })
    const piece = new Uint8Array(64 * KiB)
    let accepted = 0
    while (accepted < 256 * MiB) {
      const mayGoOn = near.write(piece)
      accepted += piece.length
      if (mayGoOn) continue
      const drained = near.drained().then(() => true)
      const stuck = new Promise<boolean>(resolve => setTimeout(resolve, 400, false))
      if (!(await Promise.race([drained, stuck]))) break
    }
    const bound = READ_HIGH_MARK_BYTES + STREAM_WINDOW_BYTES + 2 * WRITE_HIGH_MARK_BYTES + 2 * MiB
    expect(accepted).toBeLessThan(bound)
    expect(received).toBe(0)
    far.resume()
    await near.end()
    await until(() => received === accepted)
  }, 30_000)

  it('holds what arrives before there is a listener', async () => {
    const [near, far] = await pair('/test/early/1')
    near.write(Buffer.from('early '))
    near.write(Buffer.from('bird'))
    await near.end()
    await new Promise(resolve => setTimeout(resolve, 50))
    const seen: string[] = []
    const ended = new Promise<void>(resolve => {
      far.onBytes(bytes => seen.push(Buffer.from(bytes).toString()))
      far.onEnd(resolve)
    })
    await ended
    expect(seen.join('')).toBe('early bird')
  })

  it('lets one side end while the other goes on, and closes cleanly once', async () => {
    const [near, far] = await pair('/test/half/1')
    const closes: Array<Error | undefined> = []
    let answer = ''
    near.onBytes(bytes => {
      answer += Buffer.from(bytes).toString()
    })
    near.onEnd(() => {})
    near.onClose(error => closes.push(error))
    far.onEnd(() => {
      far.write(Buffer.from('after your end'))
      void far.end()
    })
    far.onClose(error => closes.push(error))
    await near.end()
    await until(() => closes.length === 2)
    expect(answer).toBe('after your end')
    expect(closes).toEqual([undefined, undefined])
  })

  it('tells both sides of an abort, and wakes who waits to write', async () => {
    const [near, far] = await pair('/test/abort/1')
    far.pause()
    const errors: string[] = []
    near.onClose(error => errors.push(`near ${error?.message}`))
    far.onClose(error => errors.push(`far ${error === undefined ? 'clean' : 'error'}`))
    const piece = new Uint8Array(256 * KiB)
    while (near.write(piece)) await new Promise(resolve => setImmediate(resolve))
    const waiting = near.drained()
    far.abort(new Error('enough'))
    // The first waits may still be let through by what was under way.
    await expect(
      (async () => {
        await waiting
        for (;;) {
          near.write(piece)
          await near.drained()
        }
      })()
    ).rejects.toThrow()
    await until(() => errors.length === 2)
    expect(errors.toSorted()[0]).toBe('far error')
  })

  it('composes as a pair of source and sink', async () => {
    const [near, far] = await pair('/test/duplex/1')
    const echo = duplex(far)
    const ends = echo.sink(echo.source)
    const mine = duplex(near)
    const parts = Array.from({ length: 40 }, (_, i) => new Uint8Array(100 * KiB).fill(i))
    const sent = mine.sink(parts)
    let received = 0
    for await (const bytes of mine.source) received += bytes.length
    await Promise.all([sent, ends])
    expect(received).toBe(40 * 100 * KiB)
  })
})
