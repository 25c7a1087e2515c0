// Goal: what a storage node says to a link can slow it down a little, and never stop it.
// Method: one link on a connection whose answers are made by hand; the clock notes every pause.
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../node/clock.ts'
import type { ChannelListener } from '../../node/gateway/channel.ts'
import type { LinkContext } from '../../node/gateway/link-context.ts'
import { flushRequest } from '../../node/gateway/link-requests.ts'
import { ShardLink } from '../../node/gateway/shard-link.ts'
import { BUSY_PAUSE_MAX_MS } from '../../node/limits.ts'
import type { Clock } from '../../node/ports.ts'
import { busyAnswer, plainAnswer, welcomeAnswer } from '../../node/shard/answers.ts'
import type { Nonce } from '../../protocols/ids.ts'
import { Op, type Request, Status } from '../../protocols/shard-io/messages.ts'
import { nodeId, seededRandom } from '../support/gateway-mesh.ts'
import { quietLog, token, until, volumeId } from '../support/shard-harness.ts'

describe('a busy node', () => {
  it('is asked again soon, however long it would like to be left alone', async () => {
    const pauses: Array<{ delayMs: number; task: () => void }> = []
    const clock: Clock = {
      ...systemClock,
      after: (delayMs, task) => {
        pauses.push({ delayMs, task })
        return { cancel: () => {} }
      }
    }
    const sent: Request[] = []
    let listener: ChannelListener | undefined
    const context: LinkContext = {
      volume: volumeId(1),
      token: token(2),
      clock,
      random: seededRandom(1),
      log: quietLog,
      options: { ioTimeoutMs: 1e6, linkResetMs: 1e6, keepAliveMs: 1e6, replayBytes: 1e6 },
      open: async (_node, heard) => {
        listener = heard
        return { send: request => sent.push(request) > 0, close: () => {} }
      },
      fence: () => {},
      fail: () => {},
      stopReason: () => new Error('stopped'),
      lost: () => false,
      lostInReplay: () => 'refused',
      reroute: () => {},
      freed: () => {}
    }
    const link = new ShardLink(nodeId('Storage'), context, undefined)
    const last = (op: Op): Request => {
      const request = sent.at(-1)
      if (request?.op !== op) throw new Error('another request was sent')
      return request
    }
    let isFlushed = false
    const flush = flushRequest(context, 0)
    flush.answered = () => {
      isFlushed = true
    }
    link.submit(flush)
    await until(() => sent.length === 1)
    const incarnation = { number: 1, nonce: '0000000000000001' as Nonce }
    listener?.answered(welcomeAnswer(last(Op.hello), incarnation))
    listener?.answered(busyAnswer(last(Op.flush), 0xffff_ffff))
    expect(pauses.map(({ delayMs }) => delayMs <= BUSY_PAUSE_MAX_MS * 1.25)).toEqual([true])
    pauses[0]?.task()
    listener?.answered(plainAnswer(last(Op.flush), Status.ok))
    expect([sent.length, isFlushed]).toEqual([3, true])
  })
})
