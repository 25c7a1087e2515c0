/** `shoal top`: the load of nodes, volumes and shards now, and where it goes; redrawn in place. */
import type { Command } from 'commander'
import type { TopDocument } from '../node/control/load-documents.ts'
import { messageOf } from '../protocols/fault.ts'
import type { Client } from './client.ts'
import { FullScreen } from './full-screen.ts'
import type { Io, Screen } from './io.ts'
import { MAX_TOP_ROWS, TOP_INTERVAL, TOP_ROWS } from './limits.ts'
import { badOption, commonOptions, parseCount, parseDurationWithin, parseWord } from './options.ts'
import { clean, speaksUnicode } from './output.ts'
import { examples } from './shared.ts'
import { PARTS, type Part, SORTS, type Sort, type TopView, topLines } from './top-view.ts'

const CTRL_C = '\u0003'
const END_KEYS = ['q', 'Q', CTRL_C]

interface TopOptions {
  readonly once?: boolean
  readonly interval: string
  readonly sort: string
  readonly limit?: string
  readonly nodes?: boolean
  readonly volumes?: boolean
  readonly shards?: boolean
}

interface Wish {
  readonly intervalMs: number
  readonly parts: readonly Part[]
  readonly sort: Sort
  readonly limit: number | undefined
}

export function addTopCommand(program: Command, io: Io): void {
  program
    .command('top')
    .summary('watch load, and where it will be in 15 and 60 minutes')
    .description(
      'Shows nodes, volumes and shards with the load of the last seconds, and what is expected in 15 ' +
        'and 60 minutes as q50..q95: of the capacity that `shoal calibrate` measured, or in units ' +
        'per second (a request is one, and every 32 KiB). RISK is the chance that an overload begins ' +
        'within the hour. On a terminal q or ctrl-C ends it; elsewhere it is printed again and again.'
    )
    .option('--once', 'print it once')
    .option('--interval <time>', `from ${TOP_INTERVAL.min}`, TOP_INTERVAL.usual)
    .option('--sort <by>', SORTS.join(', '), 'load')
    .option('--limit <n>', `rows of each table (default: what fits, or ${TOP_ROWS})`)
    .option('--nodes', 'only nodes; may be combined')
    .option('--volumes', 'only volumes')
    .option('--shards', 'only shards')
    .addHelpText(
      'after',
      examples(
        'shoal top',
        'shoal top --shards --sort p99 --interval 5s',
        'shoal top --once --nodes',
        'shoal top --json | jq .silent'
      )
    )
    .action(async (options: TopOptions, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const wish = wishOf(options)
      if (json) io.out(JSON.stringify(await look(client, wish, wish.limit)))
      else if (options.once !== true && io.screen !== undefined) {
        await live(io, io.screen, client, wish)
      } else await print(io, client, wish, options.once === true)
    })
}

function wishOf(options: TopOptions): Wish {
  const { limit } = options
  const parts = PARTS.filter(part => options[part] === true)
  const rows = limit === undefined ? undefined : parseCount(limit, 'limit', TOP_ROWS)
  if (rows !== undefined && rows > MAX_TOP_ROWS) {
    throw badOption('limit', `--limit must be at most ${MAX_TOP_ROWS}`)
  }
  return {
    intervalMs: parseDurationWithin(options.interval, 'interval', TOP_INTERVAL),
    parts: parts.length === 0 ? PARTS : parts,
    sort: parseWord(options.sort, 'sort', SORTS),
    limit: rows
  }
}

/** The daemon cuts by load: by another order it has to send all. */
function look(client: Client, { sort }: Wish, rows: number | undefined): Promise<TopDocument> {
  const query = rows === undefined || sort !== 'load' ? '' : `?top=${rows}`
  return client.get<TopDocument>(`/v1/load${query}`)
}

function viewOf(io: Io, { parts, sort, limit }: Wish, screen?: Screen): TopView {
  const { columns, rows } = screen?.size() ?? { columns: Infinity, rows: Infinity }
  const most = limit ?? (screen === undefined ? TOP_ROWS : rows)
  return { parts, sort, columns, rows, limit: most, unicode: speaksUnicode(io.env) }
}

/** Once, or every interval until ctrl-C. */
async function print(io: Io, client: Client, wish: Wish, isOnce: boolean): Promise<void> {
  const pause = new Pause()
  const ignore = isOnce ? () => undefined : io.onInterrupt(() => pause.end())
  // A terminal still bounds the width of what is printed once.
  const width = io.screen === undefined ? {} : { columns: io.screen.size().columns }
  const view = { ...viewOf(io, wish), ...width }
  let isFirst = true
  try {
    while (!pause.isOver) {
      const top = await Promise.race([attempt(look(client, wish, view.limit), isFirst), pause.over])
      if (top === 'over') break
      if ('trouble' in top) io.err(`shoal: ${clean(top.trouble)}\n`)
      else io.out([...(isFirst ? [] : ['']), ...topLines(top, view)].join('\n'))
      if (isOnce) break
      await io.drained?.()
      isFirst = false
      await pause.wait(wish.intervalMs)
    }
  } finally {
    ignore()
  }
}

async function live(io: Io, screen: Screen, client: Client, wish: Wish): Promise<void> {
  const page = new FullScreen(screen)
  const pause = new Pause()
  let last: TopDocument | undefined
  let trouble: string | undefined
  const draw = (): void => {
    if (last === undefined) return
    const view = viewOf(io, wish, screen)
    const words = trouble === undefined ? [] : [clean(trouble)]
    page.draw([...words, ...topLines(last, { ...view, rows: view.rows - words.length })])
  }
  const undo = [
    io.onInterrupt(() => pause.end()),
    screen.onEnd(() => pause.end()),
    screen.onResize(draw),
    screen.onKey(key => {
      if (END_KEYS.includes(key)) pause.end()
    })
  ]
  try {
    while (!pause.isOver) {
      const rows = viewOf(io, wish, screen).limit
      const asked = attempt(look(client, wish, rows), last === undefined)
      const seen = await Promise.race([asked, pause.over])
      if (seen === 'over') break
      trouble = 'trouble' in seen ? seen.trouble : undefined
      if (!('trouble' in seen)) last = seen
      draw()
      await pause.wait(wish.intervalMs)
    }
  } finally {
    page.close()
    for (const task of undo) task()
  }
}

/** Only the first failure is the end: a daemon that starts again is met again. */
async function attempt<T>(asked: Promise<T>, isFirst: boolean): Promise<T | { trouble: string }> {
  try {
    return await asked
  } catch (error) {
    if (isFirst) throw error
    return { trouble: messageOf(error) }
  }
}

/** Waiting that a key or a signal ends. */
class Pause {
  isOver = false
  readonly over: Promise<'over'>
  #resolve: () => void = () => undefined

  constructor() {
    this.over = new Promise(resolve => {
      this.#resolve = () => resolve('over')
    })
  }

  end(): void {
    this.isOver = true
    this.#resolve()
  }

  async wait(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const slept = new Promise<void>(resolve => {
      timer = setTimeout(resolve, ms)
    })
    await Promise.race([slept, this.over])
    clearTimeout(timer)
  }
}
