/**
 * Publish and subscribe among members, over gossipsub.
 *
 * Invariants: a message counts only if it is signed, within its bound, and its author a member;
 * what does not is neither delivered nor passed on; topics are named before the node starts, so
 * that nobody can make us remember others; a failing listener harms no other.
 */
import type { GossipSub, Message } from '@libp2p/gossipsub'
import { TopicValidatorResult } from '@libp2p/gossipsub'
import { assert } from '../../protocols/assert.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { MAX_GOSSIP_BYTES } from '../limits.ts'
import type { Log } from '../ports.ts'

export type GossipListener = (from: NodeId, bytes: Uint8Array) => void

export interface GossipOptions {
  readonly isMember: (peer: NodeId) => boolean
  readonly log: Log
}

export class Gossip {
  readonly #options: GossipOptions
  readonly #listeners = new Map<string, GossipListener[]>()
  #allowed: ReadonlySet<string> | undefined
  #pubsub: GossipSub | undefined

  constructor(options: GossipOptions) {
    this.#options = options
  }

  /** Those subscribed to so far and those in `others`: from now on no more. */
  fixTopics(others: readonly string[]): string[] {
    const topics = new Set([...others, ...this.#listeners.keys()])
    this.#allowed = topics
    return [...topics]
  }

  /** `pubsub` is running. */
  start(pubsub: GossipSub): void {
    this.#pubsub = pubsub
    pubsub.addEventListener('message', event => this.#deliver(event.detail))
    for (const topic of this.#listeners.keys()) this.#join(pubsub, topic)
  }

  /** Before `pubsub` stops: it leaves all topics by itself. */
  stop(): void {
    this.#pubsub = undefined
  }

  async publish(topic: string, bytes: Uint8Array): Promise<void> {
    assert(bytes.length <= MAX_GOSSIP_BYTES, 'a gossip message fits its bound')
    if (this.#pubsub === undefined) throw new ShoalError({ code: 'CLOSED' }, 'the host is not up')
    await this.#pubsub.publish(topic, bytes)
  }

  /** What is returned ends it; with its last listener the topic is left. */
  subscribe(topic: string, listener: GossipListener): () => void {
    const listeners = this.#listeners.get(topic) ?? []
    assert(this.#allowed?.has(topic) ?? true, 'a topic is named before the host starts')
    this.#listeners.set(topic, [...listeners, listener])
    if (listeners.length === 0 && this.#pubsub !== undefined) this.#join(this.#pubsub, topic)
    return () => this.#drop(topic, listener)
  }

  #drop(topic: string, listener: GossipListener): void {
    const listeners = this.#listeners.get(topic) ?? []
    const left = listeners.filter(other => other !== listener)
    if (left.length === listeners.length) return
    if (left.length > 0) {
      this.#listeners.set(topic, left)
      return
    }
    this.#listeners.delete(topic)
    this.#pubsub?.unsubscribe(topic)
  }

  #join(pubsub: GossipSub, topic: string): void {
    pubsub.topicValidators.set(topic, (_source, message) => this.#judge(message))
    pubsub.subscribe(topic)
  }

  #judge(message: Message): TopicValidatorResult {
    if (message.type !== 'signed') return TopicValidatorResult.Reject
    if (message.data.length > MAX_GOSSIP_BYTES) return TopicValidatorResult.Reject
    // Ignored, not rejected: who passed it on may not know of the revocation yet.
    const isMember = this.#options.isMember(message.from.toString() as NodeId)
    return isMember ? TopicValidatorResult.Accept : TopicValidatorResult.Ignore
  }

  #deliver(message: Message): void {
    if (message.type !== 'signed') return
    const from = message.from.toString() as NodeId
    for (const listener of this.#listeners.get(message.topic) ?? []) {
      try {
        listener(from, message.data)
      } catch (error) {
        const fields = { from, topic: message.topic, error: messageOf(error) }
        this.#options.log.error(fields, 'a gossip listener failed')
      }
    }
  }
}
