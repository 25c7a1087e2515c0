// Goal: frames come out whole, in order and once, however the network cuts them; nothing absurd is
// ever gathered.
// Method: random frames, cut at random places; random bytes.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameReader } from '../../node/stream/frames.ts'

const seed = process.env.SEED === undefined ? Date.now() : Number(process.env.SEED)
const runs = { seed, numRuns: 300 }
const MAX_BYTES = 4096

function frame(body: Uint8Array): Buffer {
  const whole = Buffer.alloc(4 + body.length)
  whole.writeUInt32LE(whole.length)
  whole.set(body, 4)
  return whole
}

function read(chunks: Uint8Array[]): { frames: string[]; bad: string[]; pendingBytes: number } {
  const frames: string[] = []
  const bad: string[] = []
  const reader = new FrameReader({
    maxBytes: MAX_BYTES,
    onFrame: one => frames.push(Buffer.from(one).toString('hex')),
    onBad: reason => bad.push(reason)
  })
  for (const chunk of chunks) reader.push(chunk)
  return { frames, bad, pendingBytes: reader.pendingBytes }
}

function cut(bytes: Buffer, sizes: number[]): Uint8Array[] {
  const chunks: Uint8Array[] = []
  let at = 0
  for (let i = 0; at < bytes.length; i++) {
    const size = Math.max(1, sizes[i % sizes.length] ?? 1)
    chunks.push(bytes.subarray(at, at + size))
    at += size
  }
  return chunks
}

describe(`frames (SEED=${seed})`, () => {
  it('survive every way of being cut', () => {
    const bodies = fc.array(fc.uint8Array({ maxLength: MAX_BYTES - 4 }), { maxLength: 8 })
    const sizes = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(bodies, sizes, (some, cuts) => {
        const frames = some.map(frame)
        const result = read(cut(Buffer.concat(frames), cuts))
        expect(result.frames).toEqual(frames.map(one => one.toString('hex')))
        expect(result.bad).toEqual([])
        expect(result.pendingBytes).toBe(0)
      }),
      runs
    )
  })

  it('of random bytes are refused once at most, and never gathered beyond the bound', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), chunks => {
        const result = read(chunks)
        expect(result.bad.length).toBeLessThanOrEqual(1)
        expect(result.pendingBytes).toBeLessThanOrEqual(MAX_BYTES)
      }),
      runs
    )
  })

  it('that are too long or shorter than their length field are refused', () => {
    for (const length of [0, 3, MAX_BYTES + 1, 0xffffffff]) {
      const bytes = Buffer.alloc(8)
      bytes.writeUInt32LE(length)
      for (const chunks of [[bytes], cut(bytes, [1])]) {
        const result = read(chunks)
        expect(result).toMatchObject({ frames: [], bad: [expect.any(String)], pendingBytes: 0 })
      }
    }
  })
})
