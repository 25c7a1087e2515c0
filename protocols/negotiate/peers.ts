/**
 * Those whom one offer went to, and what became of each.
 *
 *   asked --> bid --> (chosen) | declined | silent
 *         \-> declined | silent
 */
import { assert } from '../assert.ts'
import type { Alternative } from '../balance/receipt.ts'
import type { BidFigures } from '../balance/types.ts'
import type { NodeId, Nonce } from '../ids.ts'

export type Peer =
  | { readonly node: NodeId; readonly is: 'asked' }
  | {
      readonly node: NodeId
      readonly is: 'bid'
      readonly figures: BidFigures
      readonly reservation: Nonce
      /** Monotonic ms: it is bound until then. */
      readonly untilMs: number
      /** Once all bids were compared. */
      readonly ranked?: { readonly score: number; readonly why: string; readonly isFit: boolean }
    }
  | { readonly node: NodeId; readonly is: 'declined'; readonly why: string }
  | { readonly node: NodeId; readonly is: 'silent' }

export function put(peers: readonly Peer[], peer: Peer): readonly Peer[] {
  assert(
    peers.some(({ node }) => node === peer.node),
    'a peer of an offer was asked'
  )
  return peers.map(known => (known.node === peer.node ? peer : known))
}

/** A silent one may have heard the offer. */
export function mayHavePromised(peer: Peer): boolean {
  return peer.is !== 'declined'
}

/** As a receipt tells of them. */
export function alternativesOf(peers: readonly Peer[], chosen?: NodeId): Alternative[] {
  return peers.map(peer => alternativeOf(peer, chosen))
}

function alternativeOf(peer: Peer, chosen: NodeId | undefined): Alternative {
  const { node } = peer
  switch (peer.is) {
    case 'asked':
      return { node, is: 'silent', why: 'it was not waited for' }
    case 'silent':
      return { node, is: 'silent', why: 'no answer in time' }
    case 'declined':
      return { node, is: 'declined', why: peer.why }
    case 'bid': {
      const { figures, ranked } = peer
      if (ranked === undefined) return { node, is: 'unfit', why: 'not ranked', bid: figures }
      const { score, why, isFit } = ranked
      const is = node === chosen ? 'chosen' : isFit ? 'outbid' : 'unfit'
      return { node, is, why, bid: figures, score }
    }
  }
}
