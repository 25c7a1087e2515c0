// Goal: no bytes, from a client or a server, make the NBD codec throw or misread.
// Method: round trips of everything that is encoded, random and damaged bytes, streams cut anywhere.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Intake } from '../../node/nbd/intake.ts'
import { NBD_CMD_WRITE } from '../../protocols/nbd/constants.ts'
import * as handshake from '../../protocols/nbd/handshake.ts'
import * as negotiation from '../../protocols/nbd/negotiation.ts'
import * as options from '../../protocols/nbd/options.ts'
import * as transmission from '../../protocols/nbd/transmission.ts'

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
const runs = { seed, numRuns: 500 }
const bytes = fc.uint8Array({ maxLength: 200 }).map(array => Buffer.from(array))
const name = fc.string({ maxLength: 60, unit: 'grapheme' })
const u32 = fc.nat(0xffffffff)

describe(`NBD codec (SEED=${seed})`, () => {
  it('decodes any bytes to a value or a refusal', () => {
    const decoders: Array<(bytes: Buffer) => unknown> = [
      handshake.decodeGreeting,
      handshake.decodeOptionHeader,
      handshake.decodeOptionReplyHeader,
      body => handshake.decodeString(body, 0),
      options.decodeInfoRequest,
      options.decodeMetaContextRequest,
      options.decodeServerReply,
      options.decodeInfoReply,
      options.decodeMetaContextReply,
      transmission.decodeRequest,
      transmission.decodeReplyHead,
      transmission.decodeError,
      transmission.decodeStatus
    ]
    const property = fc.property(bytes, body => {
      for (const decode of decoders) decode(body)
    })
    fc.assert(property, runs)
  })

  it('reads back the options that it encodes, and refuses them cut short', () => {
    const wanted = fc.array(fc.nat(0xffff), { maxLength: 8 })
    const property = fc.property(name, wanted, fc.array(name, { maxLength: 4 }), (a, b, c) => {
      const info = options.encodeInfoRequest({ name: a, wanted: b })
      expect(options.decodeInfoRequest(info)).toEqual({ name: a, wanted: b })
      expect(options.decodeInfoRequest(info.subarray(0, -1))).toBeUndefined()
      const meta = options.encodeMetaContextRequest({ name: a, queries: c })
      expect(options.decodeMetaContextRequest(meta)).toEqual({ name: a, queries: c })
      expect(options.decodeMetaContextRequest(meta.subarray(0, -1))).toBeUndefined()
      const option = handshake.encodeOption(7, info)
      const header = { option: 7, lengthBytes: info.length }
      expect(handshake.decodeOptionHeader(option)).toEqual(header)
    })
    fc.assert(property, runs)
  })

  it('reads back requests, statuses and errors', () => {
    const offset = fc.nat(Number.MAX_SAFE_INTEGER)
    const extents = fc.array(
      fc.record({ lengthBytes: fc.integer({ min: 1, max: 0xffffffff }), state: u32 }),
      { minLength: 1, maxLength: 20 }
    )
    const property = fc.property(offset, u32, u32, extents, name, (at, high, low, list, text) => {
      const flags = high & 0xffff
      const cookie = { cookieHigh: high, cookieLow: low }
      const request = { flags, command: 1, ...cookie, offsetBytes: at, lengthBytes: low }
      const frame = Buffer.alloc(transmission.REQUEST_BYTES)
      transmission.putRequest(frame, 0, request)
      expect(transmission.decodeRequest(frame)).toEqual(request)
      const status = transmission.decodeStatus(transmission.encodeStatus(1, list))
      expect(status).toEqual({ contextId: 1, extents: list })
      const error = transmission.decodeError(transmission.encodeError(5, text))
      expect(error).toEqual({ error: 5, message: text })
    })
    fc.assert(property, runs)
  })

  it('haggles about any options without throwing, and names no export before TLS', () => {
    const secret = { description: '', sizeBytes: 4096, flags: 1, preferredBlockBytes: 4096 }
    const exports = {
      find: (wanted: string) => (wanted === 'secret' ? { name: wanted, ...secret } : undefined),
      all: () => [{ name: 'secret', ...secret }]
    }
    const good = options.encodeInfoRequest({ name: 'secret', wanted: [0, 1, 2, 3] })
    const body = fc.oneof(bytes, fc.constant(good), fc.constant(Buffer.from('secret')))
    const option = fc.tuple(fc.integer({ min: 0, max: 12 }), body)
    const tls = fc.constantFrom('none', 'required', 'active' as const)
    const property = fc.property(tls, fc.array(option, { maxLength: 20 }), (mode, sent) => {
      let state = negotiation.clientFlags(negotiation.startNegotiation(mode), 3)
      for (const [option, body] of sent) {
        if (state === undefined) break
        const step = negotiation.onOption(state, option, body, exports)
        const told = Buffer.concat(step.answers).toString('latin1').includes('secret')
        if (mode === 'required') {
          expect(told || step.outcome.next === 'transmission').toBe(false)
        }
        state = step.outcome.next === 'option' ? step.state : undefined
      }
    })
    fc.assert(property, runs)
  })

  it('takes the same messages out of a stream, wherever it is cut and declined', () => {
    const sizes = fc.array(fc.nat(300), { minLength: 1, maxLength: 20 })
    const property = fc.property(sizes, fc.infiniteStream(fc.nat(400)), (lengths, cuts) => {
      const sent = lengths.map((length, i) => Buffer.alloc(length, i + 1))
      const stream = Buffer.concat(sent.flatMap((payload, i) => [headerOf(payload, i), payload]))
      const taken: Buffer[] = []
      const intake: Intake = new Intake(
        {
          onHeader: (bytes, at) => {
            if ((cuts.next().value ?? 0) % 3 === 0) return false
            const request = transmission.decodeRequest(bytes, at)
            if (request === undefined) throw new Error('misread')
            if (request.lengthBytes === 0) taken.push(Buffer.alloc(0))
            else intake.expect(Buffer.alloc(request.lengthBytes))
            return true
          },
          onPayload: payload => {
            if (payload !== undefined) taken.push(payload)
          }
        },
        transmission.REQUEST_BYTES
      )
      for (let at = 0; at < stream.length; ) {
        const length = Math.min(1 + (cuts.next().value ?? 0), stream.length - at)
        const piece = Buffer.from(stream.subarray(at, at + length))
        intake.push(piece)
        while (!intake.resume()) piece.fill(0)
        at += length
      }
      expect(Buffer.concat(taken).equals(Buffer.concat(sent))).toBe(true)
      expect(taken.length).toBe(sent.length)
    })
    fc.assert(property, runs)
  })
})

function headerOf(payload: Buffer, cookieLow: number): Buffer {
  const frame = Buffer.alloc(transmission.REQUEST_BYTES)
  transmission.putRequest(frame, 0, {
    ...{ flags: 0, command: NBD_CMD_WRITE, cookieHigh: 0, cookieLow, offsetBytes: 0 },
    lengthBytes: payload.length
  })
  return frame
}
