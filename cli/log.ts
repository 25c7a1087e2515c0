/** The log of a daemon on stderr: lines for a person on a terminal, JSON (pino) for everything else. */
import { pino } from 'pino'
import type { Log } from '../node/ports.ts'
import type { Io } from './io.ts'
import { clean } from './output.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']
const STDERR = 2

export function openLog(io: Io, level: LogLevel): Log {
  if (!io.canDraw)
    return pino({ level, base: null }, pino.destination({ dest: STDERR, sync: true }))
  const line = (at: LogLevel) => (fields: object, message: string) => {
    if (LEVELS.indexOf(at) < LEVELS.indexOf(level)) return
    const time = new Date().toTimeString().slice(0, 8)
    io.err(`${time} ${at === 'info' ? '' : `${at}: `}${clean(message)}${fieldText(fields)}\n`)
  }
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
}

function fieldText(fields: object): string {
  return Object.entries(fields)
    .map(([name, value]) => ` ${name}=${clean(textOf(value))}`)
    .join('')
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  return value instanceof Error ? value.message : (JSON.stringify(value) ?? 'undefined')
}
