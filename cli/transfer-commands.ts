/** `shoal volume import` and `export`: raw images in and out, with progress. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { checkName } from '../node/volumes/names.ts'
import type { TransferProgress, TransferResult } from '../node/volumes/types.ts'
import { ShoalError } from '../protocols/fault.ts'
import { isVolumeId } from '../protocols/ids.ts'
import { parseVolumeSize } from '../protocols/layout/sizes.ts'
import type { Io } from './io.ts'
import { badOption, commonOptions } from './options.ts'
import { report, size } from './output.ts'
import { Progress } from './progress.ts'
import { examples, type ShapeOptions, shapeOf, volumePath, withShapeOptions } from './shared.ts'

type Line = { readonly progress: TransferProgress } | { readonly result: TransferResult }

export function addTransferCommands(volume: Command, io: Io): void {
  addExport(volume, io)
  addImport(volume, io)
}

function addExport(volume: Command, io: Io): void {
  volume
    .command('export')
    .summary('write a volume to a raw image file')
    .description(
      'Writes a volume that is not attached to a raw image, sparse where the volume is. The file ' +
        'is complete or not there at all; one that exists is replaced.'
    )
    .argument('<volume>', 'name or id')
    .argument('<file>')
    .addHelpText('after', examples('shoal volume export web web.img'))
    .action(async (name: string, file: string, _options: object, command: Command) => {
      const { json, client } = commonOptions(command, io)
      if (file === '-' || file === '') throw badOption('file', 'name a file to export to')
      const path = resolve(file)
      const lines = client.lines<Line>(`${volumePath(name)}/export`, { path })
      const result = await follow(io, `export ${name}`, lines)
      report(io, json, { ...result, path }, () => `${path}: ${summary(result)}`)
    })
}

interface ImportOptions extends ShapeOptions {
  readonly size?: string
  readonly overwrite?: boolean
}

function addImport(volume: Command, io: Io): void {
  withShapeOptions(
    volume
      .command('import')
      .summary('fill a volume from a raw image file, or from stdin')
      .description(
        'Copies a raw image into a volume, which is created unless there is one of that name. ' +
          'Zeroes become holes. The volume must not be attached.'
      )
      .argument('<volume>', 'name of the volume')
      .argument('<file>', 'a raw image, or - for stdin')
      .option('--size <size>', 'size of the new volume (default: that of the image)')
      .option('--overwrite', 'replace what an existing volume holds')
  )
    .addHelpText(
      'after',
      examples(
        'shoal volume import web debian.img --size 20G',
        'qemu-img convert -O raw disk.qcow2 disk.img && shoal volume import vm1 disk.img',
        'zcat disk.img.gz | shoal volume import vm2 - --size 20G'
      )
    )
    .action(async (name: string, file: string, options: ImportOptions, command: Command) => {
      const { json, client } = commonOptions(command, io)
      if (!isVolumeId(name)) checkName('volume', name)
      const wish = {
        ...shapeOf(options),
        ...(options.size === undefined ? {} : { sizeBytes: parseVolumeSize(options.size) }),
        ...(options.overwrite === true ? { overwrite: true } : {})
      }
      const path = volumePath(name)
      const lines =
        file === '-'
          ? client.lines<Line>(`${path}/import-stream?${queryOf(wish)}`, process.stdin)
          : client.lines<Line>(`${path}/import`, { ...wish, path: resolve(file) })
      const result = await follow(io, `import ${name}`, lines)
      report(io, json, result, () => `${name}: ${summary(result)}`)
    })
}

function queryOf(wish: object): string {
  const pairs = Object.entries(wish).map(([key, value]) => [key, JSON.stringify(value)])
  return new URLSearchParams(Object.fromEntries(pairs)).toString()
}

async function follow(io: Io, title: string, lines: AsyncIterable<Line>): Promise<TransferResult> {
  const progress = new Progress(io, title)
  try {
    for await (const line of lines) {
      if ('result' in line) return line.result
      progress.show(line.progress)
    }
  } finally {
    progress.end()
  }
  throw new ShoalError({ code: 'CLOSED' }, `${title}: the daemon stopped before it was done`)
}

function summary({ bytes, dataBytes, sha256 }: TransferResult): string {
  return `${size(bytes)}, ${size(dataBytes)} of it data, sha256 ${sha256}`
}
