// Goal: what a storage node says to a link can slow it down a little, and never stop it.
// Method: one link on a connection whose answers are made by hand; the clock notes every pause.
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../node/clock.ts'
import type { ChannelListener } from '../../node/gateway/channel.ts'
import type { LinkContext } from '../../node/gateway/link-context.ts'
import { flushRequest } from '../../node/gateway/link-requests.ts'
import { ReadRequest } from '../../node/gateway/read-request.ts'
import type { LinkRequest } from '../../node/gateway/request.ts'
import { ShardLink } from '../../node/gateway/shard-link.ts'
import { BUSY_PAUSE_MAX_MS, REROUTE_PAUSE_MAX_MS, REROUTE_PAUSE_MIN_MS } from '../../node/limits.ts'
import type { Clock } from '../../node/ports.ts'
import { busyAnswer, plainAnswer, welcomeAnswer } from '../../node/shard/answers.ts'
import type { Nonce } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { type Answer, Op, type Request, Status } from '../../protocols/shard-io/messages.ts'
import { nodeId, seededRandom } from '../support/gateway-mesh.ts'
import { quietLog, token, until, volumeId } from '../support/shard-harness.ts'

/** A link whose time stands still until the test moves it. */
class LinkByHand {
  readonly pauses: Array<{ delayMs: number; task: () => void }> = []
  readonly sent: Request[] = []
  readonly link: ShardLink
  readonly context: LinkContext
  nowMs = 0
  #sessions = 0
  #listener: ChannelListener | undefined

  constructor() {
    const clock: Clock = {
      ...systemClock,
      monotonicMs: () => this.nowMs,
      after: (delayMs, task) => {
        this.pauses.push({ delayMs, task })
        return { cancel: () => {} }
      }
    }
    this.context = {
      volume: volumeId(1),
      token: token(2),
      clock,
      random: seededRandom(1),
      log: quietLog,
      options: { ioTimeoutMs: 30_000, linkResetMs: 1e6, keepAliveMs: 1e6, replayBytes: 1e6 },
      nextSession: () => ++this.#sessions,
      open: async (_node, heard) => {
        this.#listener = heard
        return { send: request => this.sent.push(request) > 0, close: () => {} }
      },
      fence: () => {},
      fail: () => {},
      stopReason: () => new Error('stopped'),
      lost: () => false,
      lostInReplay: () => 'refused',
      reroute: (request, link) => link.submit(request),
      freed: () => {}
    }
    this.link = new ShardLink(nodeId('Storage'), this.context, undefined)
  }

  /** Sends the request over a connection that was welcomed. */
  async submit(request: LinkRequest): Promise<void> {
    this.link.submit(request)
    await until(() => this.sent.length === 1)
    const incarnation = { number: 1, nonce: '0000000000000001' as Nonce }
    this.answer(welcomeAnswer(this.last(Op.hello), incarnation))
  }

  last(op: Op): Request {
    const request = this.sent.at(-1)
    if (request?.op !== op) throw new Error('another request was sent')
    return request
  }

  answer(answer: Answer): void {
    this.#listener?.answered(answer)
  }
}

describe('a busy node', () => {
  it('is asked again soon, however long it would like to be left alone', async () => {
    const by = new LinkByHand()
    let isFlushed = false
    const flush = flushRequest(by.context, 0)
    flush.answered = () => {
      isFlushed = true
    }
    await by.submit(flush)
    by.answer(busyAnswer(by.last(Op.flush), 0xffff_ffff))
    expect(by.pauses.map(({ delayMs }) => delayMs <= BUSY_PAUSE_MAX_MS * 1.25)).toEqual([true])
    by.pauses[0]?.task()
    by.answer(plainAnswer(by.last(Op.flush), Status.ok))
    expect([by.sent.length, isFlushed]).toEqual([3, true])
  })
})

describe('a node that does not hold the chunk yet', () => {
  it('is asked again within milliseconds, and the longer it takes the more rarely', async () => {
    const by = new LinkByHand()
    const chunk = { volume: volumeId(1), extent: 0, generation: 0, column: 0, replica: 0 }
    const epoch = { token: token(2), counter: 1 }
    let outcome = 'open'
    const sink = {
      partDone: () => {
        outcome = 'answered'
      },
      partFailed: () => {
        outcome = 'failed'
      }
    }
    await by.submit(new ReadRequest(chunk, epoch, 0, BLOCK_BYTES, 0, sink, 0))
    const waits: number[] = []
    while (outcome === 'open' && waits.length < 1_000) {
      by.answer(plainAnswer(by.last(Op.read), Status.noChunk))
      const pause = by.pauses.at(-1)
      if (by.pauses.length === waits.length || pause === undefined) break
      waits.push(pause.delayMs)
      by.nowMs += pause.delayMs
      pause.task()
    }
    expect(waits.slice(0, 4).every(ms => ms < REROUTE_PAUSE_MIN_MS * 2)).toBe(true)
    expect(waits.every(ms => ms <= REROUTE_PAUSE_MAX_MS * 1.25)).toBe(true)
    expect(waits.slice(-10).every(ms => ms > REROUTE_PAUSE_MAX_MS / 2)).toBe(true)
    expect(outcome).toBe('failed')
  })
})
