package masks;

import io.debezium.connector.postgresql.UnchangedToastedReplicationMessageColumn;
import io.debezium.spi.converter.CustomConverter;
import io.debezium.spi.converter.RelationalColumn;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.postgresql.util.PGobject;

/**
 * Masks columns before a change leaves Connect: in snapshots, extractions and streaming, in the old
 * and the new row. Whatever the type of a column that has a mask, its value never passes.
 *
 * <p>Properties: {@code columns}, entries {@code table/column=mask} separated by commas, with names
 * percent-encoded; {@code salt.password}, of hashes. The masks are those of
 * {@code lakehouse.contracts.model.Mask}, and {@code batch.reconcile.kinds} computes the same in SQL.
 */
public final class ColumnMasks implements CustomConverter<SchemaBuilder, RelationalColumn> {

    /** What Debezium writes for a large value that the WAL omits because it did not change. */
    private static final String UNCHANGED = "__debezium_unavailable_value";
    private static final int SHOWN = 4;

    private final Map<String, String> masks = new HashMap<>();
    private byte[] salt = {};

    @Override
    public void configure(Properties properties) {
        for (String entry : properties.getProperty("columns").split(",")) {
            int equals = entry.lastIndexOf('=');
            int slash = entry.indexOf('/');
            String table = decoded(entry.substring(0, slash));
            String column = decoded(entry.substring(slash + 1, equals));
            masks.put(table + "/" + column, entry.substring(equals + 1));
        }
        salt = properties.getProperty("salt.password", "").getBytes(StandardCharsets.UTF_8);
        // Connect passes a placeholder on where it does not find the secret; that one is public.
        if (masks.containsValue("hash") && (salt.length == 0 || salt[0] == '$')) {
            throw new IllegalArgumentException("Connect has no salt for hashes");
        }
    }

    @Override
    public void converterFor(RelationalColumn column, ConverterRegistration<SchemaBuilder> registration) {
        String mask = masks.get(column.dataCollection() + "/" + column.name());
        if (mask == null) {
            return;
        }
        SchemaBuilder schema = SchemaBuilder.string();
        if (!column.isOptional()) {
            // Debezium makes those of nullable columns optional itself, and can do so only once.
            schema.optional();
        }
        registration.register(schema, value -> masked(mask, value));
    }

    private Object masked(String mask, Object value) {
        if (mask.equals("null")) {
            return null;
        }
        if (UnchangedToastedReplicationMessageColumn.isUnchangedToastedValue(value)) {
            return UNCHANGED;
        }
        String text = text(value);
        if (text == null) {
            return null;
        }
        return mask.equals("hash") ? hash(text) : keepLast(text);
    }

    private String hash(String text) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(salt);
            return HexFormat.of().formatHex(digest.digest(text.getBytes(StandardCharsets.UTF_8)));
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    private static String keepLast(String text) {
        int length = text.codePointCount(0, text.length());
        if (length <= SHOWN) {
            return "*".repeat(length);
        }
        return "*".repeat(length - SHOWN) + text.substring(text.offsetByCodePoints(text.length(), -SHOWN));
    }

    /** The value as Postgres casts it to text; null for one that is no text, which never passes. */
    private static String text(Object value) {
        if (value instanceof PGobject object) {
            value = object.getValue();
        }
        return value instanceof String || value instanceof UUID ? trimmed(value.toString()) : null;
    }

    /** Postgres pads a char(n), and ignores the padding wherever it compares or casts one. */
    private static String trimmed(String text) {
        int end = text.length();
        while (end > 0 && text.charAt(end - 1) == ' ') {
            end--;
        }
        return text.substring(0, end);
    }

    private static String decoded(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }
}
