// Writes src/openapi.ts from the server's OpenAPI document; with --check only says whether it is up to date.
import { readFile, writeFile } from 'node:fs/promises';
import openapiTS, { astToString } from 'openapi-typescript';

const DOCUMENT = new URL('../../vigil-http/tests/golden/openapi.json', import.meta.url);
const TYPES = new URL('src/openapi.ts', import.meta.url);

/**
 * Examples are for readers of the document. Errors are the same for all operations: every one is a problem, which the
 * client throws; what is left are the answers, among them those of a health check that fails.
 */
function withoutExamplesAndErrors(key, value) {
    if (key === 'example' || key === 'examples') return undefined;
    if (key === 'responses') {
        const isAnswer = ([, answer]) => !('application/problem+json' in (answer.content ?? {}));
        return Object.fromEntries(Object.entries(value).filter(isAnswer));
    }
    return value;
}

const document = JSON.parse(await readFile(DOCUMENT, 'utf8'), withoutExamplesAndErrors);
const types = await openapiTS(document, { defaultNonNullable: false, emptyObjectsUnknown: true });
const text = `// Generated from the server's OpenAPI document by \`npm run generate\`: do not edit.\n\n${astToString(types)}`;

if (!process.argv.includes('--check')) {
    await writeFile(TYPES, text);
} else if (text !== (await readFile(TYPES, 'utf8'))) {
    console.error('src/openapi.ts is not what the OpenAPI document makes: npm run generate');
    process.exit(1);
}
