/**
 * map-sync: how two members bring their documents to the same state, and the gossip of changes.
 * Unary calls (node/rpc); the exchange, its errors and limits are in PROTOCOL.md beside this file.
 *
 *   heads  "what do you keep?"                 -> heads (or just the same digest as last time)
 *   pull   "this is what I have of it"         -> steps (what you lack; what I have), other, absent
 *   push   "this is what you lack"             -> done, other, absent, refused
 */
import { z } from 'zod'
import type { Nonce, VolumeId } from '../ids.ts'
import { isNonce, isVolumeId } from '../ids.ts'
import { KiB, MAX_MAP_MESSAGE_BYTES } from '../limits.ts'

export const MAP_SYNC_PROTOCOL = '/shoal/map-sync/1'
export const MAP_TOPIC = '/shoal/map/1'

/** Documents that one node keeps, and so lines of one list of heads. */
export const MAX_HEADS = 65_536
/** Largest gossiped message; a larger change is only announced, and fetched by sync. */
export const MAX_GOSSIP_CHANGE_BYTES = 64 * KiB
export const MAX_GOSSIP_CHANGES = 256
export const MAX_MAP_GOSSIP_BYTES = 256 * KiB
const MAX_GENERATION_NUMBER = 0xffff_ffff

/** The document of the mesh, or that of a volume, by its id. */
export type DocumentName = 'mesh' | VolumeId

const documentName = z.custom<DocumentName>(value => value === 'mesh' || isVolumeId(value))
const nonce = z.custom<Nonce>(isNonce)
const bytes = (max: number) =>
  z.custom<Uint8Array>(value => value instanceof Uint8Array && value.length <= max)
const step = bytes(MAX_MAP_MESSAGE_BYTES)

export const generationSchema = z.strictObject({
  number: z.number().int().min(1).max(MAX_GENERATION_NUMBER),
  id: nonce
})

/** One document as its keeper has it; equal digests mean equal content. */
export const headSchema = z.strictObject({
  document: documentName,
  generation: generationSchema,
  digest: nonce
})
export type Head = z.infer<typeof headSchema>

/**
 * - current: agreed with the mesh within the life of a tombstone.
 * - away: did not; gives up its documents when it meets one that is current.
 * - blank: has nothing of its own to say yet.
 */
export const standingSchema = z.enum(['current', 'away', 'blank'])
export type Standing = z.infer<typeof standingSchema>

export const syncRequestSchema = z.discriminatedUnion('ask', [
  /** `seen`: the digest of the answerer's heads as last received. */
  z.strictObject({ ask: z.literal('heads'), seen: nonce.optional(), standing: standingSchema }),
  /** `step`: y-protocols step 1. Without a generation: all of whatever you have. */
  z.strictObject({
    ask: z.literal('pull'),
    document: documentName,
    generation: generationSchema.optional(),
    step
  }),
  /** `step`: y-protocols step 2; the whole document if the answerer's generation is older. */
  z.strictObject({
    ask: z.literal('push'),
    document: documentName,
    generation: generationSchema,
    step
  })
])
export type SyncRequest = z.infer<typeof syncRequestSchema>

export const syncAnswerSchema = z.discriminatedUnion('is', [
  /** `digest`: over the list; the list itself is left out if it is the one that was seen. */
  z.strictObject({
    is: z.literal('heads'),
    digest: nonce,
    standing: standingSchema,
    heads: z.array(headSchema).max(MAX_HEADS).optional()
  }),
  /** `step`: step 2, what the asker lacks. `want`: step 1, what the answerer has. */
  z.strictObject({
    is: z.literal('steps'),
    generation: generationSchema,
    digest: nonce,
    step,
    want: step
  }),
  z.strictObject({ is: z.literal('other'), generation: generationSchema }),
  z.strictObject({ is: z.literal('absent') }),
  z.strictObject({ is: z.literal('done') }),
  z.strictObject({ is: z.literal('refused'), why: z.string().max(200) })
])
export type SyncAnswer = z.infer<typeof syncAnswerSchema>

/** One changed document; without `update` it was too large to gossip. */
export const changeSchema = z.strictObject({
  document: documentName,
  generation: generationSchema,
  update: bytes(MAX_GOSSIP_CHANGE_BYTES).optional()
})
export const gossipSchema = z.strictObject({
  changes: z.array(changeSchema).min(1).max(MAX_GOSSIP_CHANGES)
})
export type Change = z.infer<typeof changeSchema>
export type Gossip = z.infer<typeof gossipSchema>
