/**
 * negotiate: a source asks a few peers for a home for chunks, they bid, it awards. Unary, served by
 * every node with a store (node/rpc); the exchange and its rules are in PROTOCOL.md beside this file.
 *
 *   source  -- offer -->  bidder   bid (figures, reservation, how long) | refused
 *           -- award -->           awarded | refused
 *           -- keep  -->           kept | refused      while the move lasts
 *           -- settle, withdraw --> noted
 *
 * Invariants: every list is bounded; the lists of a path are of one length; lengths of time travel,
 * never instants but those of load to come, which are wall times.
 */
import { z } from 'zod'
import type { BidFigures, LoadPath } from '../balance/types.ts'
import type { NodeId, VolumeId } from '../ids.ts'
import { isName, isNodeId, isNonce, isVolumeId, type Nonce } from '../ids.ts'
import { MAX_COLUMNS, MAX_COPIES, MAX_COUNTER } from '../limits.ts'
import { moveIdSchema } from '../moves/messages.ts'
import {
  BID_LASTS_MS,
  MAX_LEASE_MS,
  MAX_OFFER_HOURS,
  MAX_OFFER_MS,
  MAX_OFFER_RANGES,
  MAX_OFFER_REGIONS,
  MAX_OFFER_STEPS,
  MAX_RTT_MS,
  MAX_UNITS,
  MAX_WHY_CHARS
} from './limits.ts'

export const NEGOTIATE_PROTOCOL = '/shoal/negotiate/1'

const amount = z.number().min(0).max(MAX_COUNTER)
const whole = (max: number) => z.number().int().min(0).max(max)
const units = z.number().min(0).max(MAX_UNITS)
const words = z.string().max(MAX_WHY_CHARS)
const nodeId = z.custom<NodeId>(isNodeId, 'not a node id')
const volumeId = z.custom<VolumeId>(isVolumeId, 'not a volume id')
const region = z.custom<string>(isName, 'not a region')
/** Of one promise: a bidder that has started again gives others. */
const reservation = z.custom<Nonce>(isNonce, 'not a reservation')

/** Extents [from, to) of one column and replica of a layout generation. */
export const chunkRangeSchema = z
  .strictObject({
    generation: whole(0xffff),
    column: whole(MAX_COLUMNS - 1),
    replica: whole(MAX_COPIES - 1),
    from: whole(0xffff_ffff),
    to: whole(0xffff_ffff)
  })
  .refine(({ from, to }) => from < to, 'an empty range')
export type ChunkRange = z.infer<typeof chunkRangeSchema>

const loads = (most: number) => z.array(units).min(1).max(most)

function pathSchema(steps: number): z.ZodType<LoadPath> {
  return z
    .strictObject({
      /** Wall ms of load time. */
      atMs: amount,
      stepMs: z.number().int().min(1).max(MAX_OFFER_MS),
      expected: loads(steps),
      high: loads(steps)
    })
    .refine(({ expected, high }) => expected.length === high.length, 'lists of two lengths')
}

export const offerSchema = z.strictObject({
  call: z.literal('offer'),
  /** Of the move that the source will start if somebody takes it. */
  id: moveIdSchema,
  volume: volumeId,
  ranges: z.array(chunkRangeSchema).min(1).max(MAX_OFFER_RANGES),
  /** To be copied. */
  bytes: amount,
  /** Of what moves: the next hour, and hour by hour the next day. */
  path: pathSchema(MAX_OFFER_STEPS),
  hourly: pathSchema(MAX_OFFER_HOURS).optional(),
  reason: z.enum(['predicted', 'reactive', 'home']),
  copyMs: z.number().min(0).max(MAX_OFFER_MS),
  horizonMs: z.number().min(1).max(MAX_OFFER_MS),
  /** The node that has the volume attached. */
  gateway: nodeId.optional(),
  /** Round trip to it that no place may exceed. */
  maxRttMs: z.number().min(0).max(MAX_RTT_MS).optional(),
  /** Where the volume may go; absent: everywhere. */
  regions: z.array(region).max(MAX_OFFER_REGIONS).optional()
})
export type Offer = z.infer<typeof offerSchema>

const promise = { id: moveIdSchema, reservation }

export const negotiateRequestSchema = z.discriminatedUnion('call', [
  offerSchema,
  /** The move begins; the promise is wanted for so long, and then renewed. */
  z.strictObject({
    call: z.literal('award'),
    ...promise,
    leaseMs: whole(MAX_LEASE_MS)
  }),
  z.strictObject({
    call: z.literal('keep'),
    ...promise,
    leaseMs: whole(MAX_LEASE_MS)
  }),
  /** Another one was chosen, or nobody. Without a reservation: whatever came of the offer. */
  z.strictObject({ call: z.literal('withdraw'), id: moveIdSchema }),
  /** The awarded move has ended. */
  z.strictObject({
    call: z.literal('settle'),
    id: moveIdSchema,
    outcome: z.enum(['done', 'failed', 'cancelled'])
  })
])
export type NegotiateRequest = z.infer<typeof negotiateRequestSchema>
export type Award = Extract<NegotiateRequest, { call: 'award' }>
export type Keep = Extract<NegotiateRequest, { call: 'keep' }>
export type Withdraw = Extract<NegotiateRequest, { call: 'withdraw' }>
export type Settle = Extract<NegotiateRequest, { call: 'settle' }>
export type Outcome = Settle['outcome']

/**
 * - no-store, no-space: it keeps no data; less is free than this needs, with what is promised
 * - no-headroom: with this load it would be expected to exceed its threshold
 * - blind: it has no forecast or no threshold yet
 * - draining, paused: people said so
 * - region: it is not where the volume may go; or it takes nothing from the source's region
 * - too-far, unknown-gateway: round trip to the gateway; it does not know one
 * - returning: a chunk of these left it not long enough ago
 * - conflict: it holds, or is passing on, what is offered; or another copy of it
 * - too-many: it has promised as much as it may
 * - over: that id has ended here
 * - unknown: no such promise: expired, withdrawn, or from before its last start
 */
export const REFUSALS = [
  'no-store',
  'no-space',
  'no-headroom',
  'blind',
  'draining',
  'paused',
  'region',
  'too-far',
  'unknown-gateway',
  'returning',
  'conflict',
  'too-many',
  'over',
  'unknown'
] as const
export type RefusalCode = (typeof REFUSALS)[number]

export const bidFiguresSchema: z.ZodType<BidFigures> = z.strictObject({
  headroom: z.number().min(-MAX_UNITS).max(MAX_UNITS),
  addedExcess: amount,
  freeBytes: amount,
  rttMs: z.number().min(0).max(MAX_RTT_MS).exactOptional()
})

export const negotiateAnswerSchema = z.discriminatedUnion('is', [
  z.strictObject({
    is: z.literal('bid'),
    figures: bidFiguresSchema,
    reservation,
    /** From the answer on. */
    lastsMs: whole(BID_LASTS_MS)
  }),
  z.strictObject({ is: z.literal('refused'), code: z.enum(REFUSALS), why: words }),
  z.strictObject({ is: z.literal('awarded') }),
  z.strictObject({ is: z.literal('kept') }),
  z.strictObject({ is: z.literal('noted') })
])
export type NegotiateAnswer = z.infer<typeof negotiateAnswerSchema>
export type Bid = Extract<NegotiateAnswer, { is: 'bid' }>
export type Refused = Extract<NegotiateAnswer, { is: 'refused' }>

export function refused(code: RefusalCode, why: string): Refused {
  return { is: 'refused', code, why: why.slice(0, MAX_WHY_CHARS) }
}

/**
 * Of a path what an offer has room for: the steps that are not over at `nowMs`.
 * Undefined: it ends before.
 */
export function offeredPath(path: LoadPath, nowMs: number): LoadPath | undefined {
  const passed = Math.max(0, Math.floor((nowMs - path.atMs) / path.stepMs))
  const cut = (list: readonly number[]) =>
    list.slice(passed, passed + MAX_OFFER_STEPS).map(load => Math.min(MAX_UNITS, load))
  const expected = cut(path.expected)
  if (expected.length === 0) return undefined
  return {
    atMs: path.atMs + passed * path.stepMs,
    stepMs: path.stepMs,
    expected,
    high: cut(path.high)
  }
}
