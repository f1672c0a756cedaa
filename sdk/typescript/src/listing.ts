/** A page of a list. */
export interface Page {
    /** Where the next page begins; null on the last one. */
    next_cursor: string | null;
}

/**
 * A list of the server: `await` it for one page, or go over it with `for await` for all items from there on, a page at
 * a time. Nothing is asked for before that.
 */
export class Listing<P extends Page, Item> implements Promise<P>, AsyncIterable<Item> {
    readonly [Symbol.toStringTag] = 'Listing';
    readonly #load: (cursor?: string) => Promise<P>;
    readonly #itemsOf: (page: P) => Iterable<Item>;
    #first: Promise<P> | undefined;

    constructor(load: (cursor?: string) => Promise<P>, itemsOf: (page: P) => Iterable<Item>) {
        this.#load = load;
        this.#itemsOf = itemsOf;
    }

    /** The pages, each asked for when it is wanted. */
    async *pages(): AsyncGenerator<P, void, void> {
        let page = await this.#load();
        yield page;
        while (page.next_cursor !== null) {
            page = await this.#load(page.next_cursor);
            yield page;
        }
    }

    /** The items of all pages. */
    async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, void> {
        for await (const page of this.pages()) yield* this.#itemsOf(page);
    }

    then<A = P, B = never>(
        done?: ((page: P) => A | PromiseLike<A>) | null,
        failed?: ((error: any) => B | PromiseLike<B>) | null,
    ): Promise<A | B> {
        this.#first ??= this.#load();
        return this.#first.then(done, failed);
    }

    catch<B = never>(failed?: ((error: any) => B | PromiseLike<B>) | null): Promise<P | B> {
        return this.then(null, failed);
    }

    finally(settled?: (() => void) | null): Promise<P> {
        return this.then().finally(settled);
    }
}
