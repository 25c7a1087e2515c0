/** `shoal forecast`: the past of a load, what is expected of it, and how sure that is. */
import type { Command } from 'commander'
import type { ForecastDocument } from '../node/control/load-documents.ts'
import { printable } from '../node/volumes/names.ts'
import { isName, isNodeId } from '../protocols/ids.ts'
import { type ForecastView, forecastText } from './forecast-view.ts'
import type { Io } from './io.ts'
import { HISTORY, HORIZON, PLOT_COLUMNS, PLOT_ROWS, PLOT_WORDS_ROWS } from './limits.ts'
import { badOption, commonOptions, parseDurationWithin } from './options.ts'
import { report, speaksUnicode } from './output.ts'
import { examples } from './shared.ts'

interface ForecastOptions {
  readonly horizon: string
  readonly history: string
  readonly ascii?: boolean
}

const MINUTE_MS = 60_000

export function addForecastCommand(program: Command, io: Io): void {
  program
    .command('forecast')
    .summary('plot the load of a volume, shard or node, and what is expected')
    .description(
      'Shows the load of a volume, of a node, or of one shard (VOLUME@NODE), and its forecast: what is ' +
        'expected (q50), what it exceeds in one case of ten (q90) and in one of twenty (q95); the model ' +
        'and its skill; the chance that a threshold is crossed, and when. Times are those of the ' +
        'zone of the volume.'
    )
    .argument('<subject>', 'VOLUME, NODE or VOLUME@NODE; volume:NAME or node:NAME if both exist')
    .option('--horizon <time>', `how far ahead, ${HORIZON.min} to ${HORIZON.max}`, HORIZON.usual)
    .option('--history <time>', `how far back, ${HISTORY.min} to ${HISTORY.max}`, HISTORY.usual)
    .option('--ascii', 'draw with plain characters')
    .addHelpText(
      'after',
      examples(
        'shoal forecast web',
        'shoal forecast web@eu-1 --horizon 1h --history 3h',
        'shoal forecast node:eu-1 --horizon 24h --history 7d',
        'shoal forecast web --json | jq .chance'
      )
    )
    .action(async (subject: string, options: ForecastOptions, command: Command) => {
      const { json, client } = commonOptions(command, io)
      const query = new URLSearchParams({
        subject: checkSubject(subject),
        horizonMinutes: minutes(parseDurationWithin(options.horizon, 'horizon', HORIZON)),
        historyMinutes: minutes(parseDurationWithin(options.history, 'history', HISTORY))
      })
      const forecast = await client.get<ForecastDocument>(`/v1/load/forecast?${query}`)
      report(io, json, forecast, () => forecastText(forecast, viewOf(io, options)))
    })
}

/** Only its form: the daemon knows what there is. */
function checkSubject(text: string): string {
  const parts = text.replace(/^(volume|node):/, '').split('@')
  if (parts.length <= 2 && parts.every(part => isName(part) || isNodeId(part))) return text
  throw badOption(
    'subject',
    `${printable(text)} is no volume, node or shard: name one as web, eu-1 or web@eu-1`
  )
}

function minutes(ms: number): string {
  return String(Math.ceil(ms / MINUTE_MS))
}

/** As wide as the terminal, and as high as leaves room for the words. */
function viewOf(io: Io, { ascii }: ForecastOptions): ForecastView {
  const size = io.screen?.size()
  const within = (value: number, { min, max }: { min: number; max: number }): number =>
    Math.max(min, Math.min(max, value))
  return {
    columns: within(size?.columns ?? PLOT_COLUMNS.usual, PLOT_COLUMNS),
    rows: within((size?.rows ?? PLOT_ROWS.usual + PLOT_WORDS_ROWS) - PLOT_WORDS_ROWS, PLOT_ROWS),
    ascii: ascii === true || !speaksUnicode(io.env)
  }
}
